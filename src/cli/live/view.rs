//! What the view shows, and how it is laid out: on 80 columns and 24 lines everything is there.
//!
//! Offered and carried rate and the tail over the last minutes, the books so far, backlog, faults
//! in force, how long it still takes. Colours are a help and never the only sign.

use crate::engine::{LiveSecond, Phase, Tail};
use crate::model::Latency;
use crate::result::words::{compact, grouped, time};
use crate::sanitize;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, Paragraph};
use std::collections::VecDeque;

/// What the thread that draws is told.
pub enum News {
    Step {
        place: String,
        text: String,
    },
    /// How long it still takes, in words.
    Left(String),
    Second(Box<LiveSecond>),
    /// Something that a user who watches wants to know at once.
    Line(String),
    End,
}

/// Seconds that are drawn.
const DRAWN: usize = 180;
/// Lines of what happened.
const LINES: usize = 2;

const OFFERED: Color = Color::DarkGray;
const CARRIED: Color = Color::Cyan;
const MEDIAN: Color = Color::Cyan;
const TAIL: Color = Color::Yellow;
const FAR_TAIL: Color = Color::Magenta;

#[derive(Default)]
pub struct View {
    /// Without colours.
    plain: bool,
    place: String,
    text: String,
    left: String,
    seconds: VecDeque<LiveSecond>,
    lines: VecDeque<String>,
    pub interrupted: bool,
}

type Points = Vec<(f64, f64)>;

/// A curve, how it is called, and what it is drawn with.
struct Drawn<'a> {
    name: &'a str,
    color: Color,
    marker: Marker,
    points: Points,
}

impl View {
    pub fn new(plain: bool) -> Self {
        Self { plain, ..Self::default() }
    }

    pub fn take(&mut self, news: News) {
        match news {
            News::Step { place, text } => {
                (self.place, self.text) = (sanitize::line(&place), sanitize::line(&text));
                self.seconds.clear();
            }
            News::Left(words) => self.left = words,
            News::Second(second) => {
                // Another load on the same cell, such as the next probe of a search.
                if self.seconds.back().is_some_and(|last| last.elapsed_ns >= second.elapsed_ns) {
                    self.seconds.clear();
                }
                self.seconds.push_back(*second);
                if self.seconds.len() > DRAWN {
                    self.seconds.pop_front();
                }
            }
            News::Line(text) => {
                self.lines.push_back(sanitize::line(&text));
                if self.lines.len() > LINES {
                    self.lines.pop_front();
                }
            }
            News::End => {}
        }
    }

    pub fn render(&self, frame: &mut Frame<'_>) {
        let [head, now, rates, tails, books, costs, faults, lines, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(LINES as u16),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let title = format!("{} · {}", self.place, self.text);
        frame.render_widget(Paragraph::new(Span::styled(title, bold)), head);
        frame.render_widget(Paragraph::new(self.now()), now);
        self.draw_rates(frame, rates);
        self.draw_tails(frame, tails);
        frame.render_widget(Paragraph::new(self.books()), books);
        frame.render_widget(Paragraph::new(self.costs()), costs);
        frame.render_widget(Paragraph::new(Span::styled(self.faults(), bold)), faults);
        let told: Vec<Line<'_>> = self.lines.iter().map(|line| Line::from(line.as_str())).collect();
        frame.render_widget(Paragraph::new(told), lines);
        frame.render_widget(Paragraph::new(self.keys()), keys);
    }

    /// How far it is, and how long it takes.
    fn now(&self) -> String {
        let Some(last) = self.seconds.back() else { return self.left.clone() };
        let seconds = |ns: u64| format!("{:.0} s", ns as f64 / 1e9);
        let at = match (last.phase, last.window_ns) {
            (Phase::WarmUp, _) => format!("warming up, {}", seconds(last.elapsed_ns)),
            (Phase::Measure, Some((at, length))) => {
                format!("measuring, {} of {}", seconds(at.min(length)), seconds(length))
            }
            (Phase::Measure, None) => format!("measuring, {}", seconds(last.elapsed_ns)),
            (Phase::Drain, _) => "waiting for the last messages".to_owned(),
        };
        format!("{at} · {}", self.left)
    }

    fn books(&self) -> String {
        let Some(last) = self.seconds.back() else { return String::new() };
        format!(
            "sent {} · acked {} · consumed {} · failed {}",
            compact(last.sent as f64),
            compact(last.acked as f64),
            compact(last.consumed as f64),
            grouped(last.failed),
        )
    }

    /// What is under way, and what it takes.
    fn costs(&self) -> String {
        let Some(last) = self.seconds.back() else { return String::new() };
        let in_flight = last.sent.saturating_sub(last.acked + last.failed);
        let counts = [("in flight", in_flight), ("backlog", last.row.backlog_messages)]
            .map(|(of, count)| format!("{of} {}", compact(count as f64)));
        let cpu =
            [("client", last.row.client_cpu_percent), ("broker", last.row.broker_cpu_percent)]
                .into_iter()
                .filter_map(|(of, percent)| Some(format!("CPU of the {of} {:.0} %", percent?)));
        counts.into_iter().chain(cpu).collect::<Vec<_>>().join(" · ")
    }

    fn faults(&self) -> String {
        match self.seconds.back() {
            Some(last) if !last.faults.is_empty() => {
                sanitize::line(&format!("FAULT: {}", last.faults.join(", ")))
            }
            _ => String::new(),
        }
    }

    fn keys(&self) -> &'static str {
        if self.interrupted {
            "stopping, and keeping what there is; q again: stop at once"
        } else {
            "q or Ctrl-C: stop, and keep what there is"
        }
    }

    fn draw_rates(&self, frame: &mut Frame<'_>, area: Rect) {
        let curve = |of: &dyn Fn(&LiveSecond) -> Option<f64>| self.curve(of);
        let offered = curve(&|second| second.row.offered_messages.map(|n| n as f64));
        // What came through to each subscription, or was acknowledged where there is none.
        let carried = curve(&|second| {
            let consumed = second.row.consumed_messages;
            let each = consumed.checked_div(second.subscriptions.into());
            Some(each.unwrap_or(second.row.acked_messages) as f64)
        });
        let most = offered.iter().chain(&carried).map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
        let last = |points: &Points| points.last().map(|(_, y)| format!("{}/s", compact(*y)));
        let drawn = [
            Drawn { name: "offered", color: OFFERED, marker: Marker::Dot, points: offered },
            Drawn { name: "carried", color: CARRIED, marker: Marker::Braille, points: carried },
        ];
        let names: Vec<Option<String>> = drawn.iter().map(|one| last(&one.points)).collect();
        let labels = [0.0, most / 2.0, most].map(compact);
        self.draw(frame, area, "messages", &drawn, &names, ([0.0, most], labels));
    }

    fn draw_tails(&self, frame: &mut Frame<'_>, area: Rect) {
        // As a run has it: end to end where somebody consumes at a plan's pace, else the service.
        let order = [Latency::EndToEnd, Latency::Publish, Latency::Service];
        let of = order.into_iter().find(|latency| {
            self.seconds.back().is_some_and(|second| second.tail(*latency).is_some())
        });
        let latency = of.unwrap_or(Latency::EndToEnd);
        let curve = |pick: fn(&Tail) -> u64| {
            self.curve(&|second| {
                let ns = pick(&second.tail(latency)?).max(1);
                Some((ns as f64).log10())
            })
        };
        let p50 = curve(|tail| tail.p50_ns);
        let p99 = curve(|tail| tail.p99_ns);
        let p99_9 = curve(|tail| tail.p99_9_ns);
        let all = || p50.iter().chain(&p99).chain(&p99_9).map(|(_, y)| *y);
        let low = all().fold(f64::INFINITY, f64::min).min(9.0).floor();
        let high = all().fold(low + 1.0, f64::max).ceil();
        let last = |points: &Points| points.last().map(|(_, y)| time(10f64.powf(*y)));
        let drawn = [
            Drawn { name: "p50", color: MEDIAN, marker: Marker::Dot, points: p50 },
            Drawn { name: "p99", color: TAIL, marker: Marker::Braille, points: p99 },
            Drawn { name: "p99.9", color: FAR_TAIL, marker: Marker::Braille, points: p99_9 },
        ];
        let names: Vec<Option<String>> = drawn.iter().map(|one| last(&one.points)).collect();
        let labels = [low, (low + high) / 2.0, high].map(|power| time(10f64.powf(power)));
        self.draw(frame, area, latency.name(), &drawn, &names, ([low, high], labels));
    }

    /// Seconds back from the last one.
    fn curve(&self, of: &dyn Fn(&LiveSecond) -> Option<f64>) -> Points {
        let last = self.seconds.len() as f64 - 1.0;
        let places = self.seconds.iter().enumerate();
        places.filter_map(|(at, second)| Some((at as f64 - last, of(second)?))).collect()
    }

    /// Curves below a line that says what they are and what each is at now.
    fn draw(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        what: &str,
        drawn: &[Drawn<'_>],
        now: &[Option<String>],
        (bounds, labels): ([f64; 2], [String; 3]),
    ) {
        let style = |color| if self.plain { Style::new() } else { Style::new().fg(color) };
        let named = drawn.iter().zip(now).flat_map(|(one, now)| {
            let now = now.as_deref().unwrap_or("–");
            [Span::raw(" · "), Span::styled(format!("{} {now}", one.name), style(one.color))]
        });
        let title: Vec<Span<'_>> = [Span::raw(what.to_owned())].into_iter().chain(named).collect();
        let dataset = |one| {
            let Drawn { color, marker, points, .. }: &Drawn<'_> = one;
            Dataset::default()
                .marker(*marker)
                .graph_type(GraphType::Line)
                .style(style(*color))
                .data(points)
        };
        let chart = Chart::new(drawn.iter().map(dataset).collect())
            .block(Block::new().borders(Borders::TOP).title(Line::from(title)))
            .legend_position(None)
            .x_axis(Axis::default().bounds([1.0 - DRAWN as f64, 0.0]))
            .y_axis(Axis::default().bounds(bounds).labels(labels));
        frame.render_widget(chart, area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::WindowRow;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn second(number: u64, faults: &[&str]) -> LiveSecond {
        let tail = Tail { p50_ns: 500_000, p99_ns: 3_100_000, p99_9_ns: 20_000_000 };
        LiveSecond {
            phase: Phase::Measure,
            elapsed_ns: number * 1_000_000_000,
            window_ns: Some((number * 1_000_000_000, 120_000_000_000)),
            row: WindowRow {
                offered_messages: Some(10_000),
                acked_messages: 9_995,
                consumed_messages: 19_980,
                backlog_messages: 1_234,
                client_cpu_percent: Some(34.0),
                ..WindowRow::default()
            },
            tails: vec![(Latency::EndToEnd, tail)],
            subscriptions: 2,
            sent: 10_000 * number,
            acked: 9_990 * number,
            failed: 7,
            consumed: 9_980 * number,
            cost_ns: 0,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    fn drawn(view: &View, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        terminal.draw(|frame| view.render(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn watched() -> View {
        let mut view = View::new(false);
        let text = "kafka load.rate=10k/s block 1".to_owned();
        view.take(News::Step { place: "latency 3/9".into(), text });
        view.take(News::Left("about 3 minutes left".into()));
        (1..=30).for_each(|number| view.take(News::Second(Box::new(second(number, &[])))));
        view
    }

    #[test]
    fn all_of_it_is_on_eighty_columns_and_twenty_four_lines() {
        let mut view = watched();
        view.take(News::Line("kill took effect on node 2\u{1b}[2J".into()));
        view.take(News::Second(Box::new(second(31, &["kill on node 2"]))));
        let text = drawn(&view, 80, 24);
        for words in [
            "latency 3/9 · kafka load.rate=10k/s block 1",
            "measuring, 31 s of 120 s · about 3 minutes left",
            "offered 10.0k/s · carried 9.99k/s",
            "end_to_end · p50 500 µs · p99 3.10 ms · p99.9 20.0 ms",
            "sent 310k · acked 310k · consumed 309k · failed 7",
            "in flight 303 · backlog 1.23k · CPU of the client 34 %",
            "FAULT: kill on node 2",
            "kill took effect on node 2\u{fffd}[2J",
            "q or Ctrl-C: stop",
        ] {
            assert!(text.contains(words), "`{words}` is missing in:\n{text}");
        }
        assert_eq!(text.lines().count(), 24);
    }

    #[test]
    fn a_small_terminal_and_an_empty_view_are_drawn_too() {
        for (columns, lines) in [(1, 1), (20, 5), (300, 100)] {
            let _ = (drawn(&View::new(true), columns, lines), drawn(&watched(), columns, lines));
        }
    }

    #[test]
    fn another_load_begins_its_curves_anew() {
        let mut view = watched();
        assert_eq!(view.seconds.len(), 30);
        view.take(News::Second(Box::new(second(1, &[]))));
        assert_eq!(view.seconds.len(), 1);
        view.interrupted = true;
        assert!(drawn(&view, 80, 24).contains("q again: stop at once"));
    }
}
