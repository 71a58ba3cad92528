//! The terminal while a view is drawn on it: taken over, drawn on by a thread of its own, and given
//! back however the run ends.
//!
//! The thread that measures only hands over what it has; drawing a few times a second, and waiting
//! for keys, is this one's. `q` and Ctrl-C are the signal that Ctrl-C is without a view.

use super::Shown;
use super::view::{News, View};
use crate::cli::exit::{Code, Failure};
use crate::cli::signals::Interrupt;
use crate::cli::time_left::TimeLeft;
use crate::engine::{LiveSecond, Observer, Progress, thread_cpu_ns};
use crate::study::{Step, StudyObserver};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::SIGINT;
use signal_hook::low_level::raise;
use std::io::{self, IsTerminal, Stderr, stderr};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From one picture to the next.
const EVERY: Duration = Duration::from_millis(250);

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether a view is on the terminal: then nothing else may be printed there.
pub fn shown() -> bool {
    TAKEN.load(Relaxed)
}

/// Gives the terminal back, if it was taken. Whoever ends the process does it before.
pub fn restore() {
    if TAKEN.swap(false, Relaxed) {
        // Nothing can be done about a terminal that is gone.
        let _ = disable_raw_mode();
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |what| {
            restore();
            before(what);
        }));
    });
    TAKEN.store(true, Relaxed);
    enable_raw_mode()?;
    execute!(stderr(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(stderr()))
}

/// Whether standard error is a terminal that can be drawn on.
pub fn drawable() -> Result<(), Failure> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if stderr().is_terminal() && !dumb {
        return Ok(());
    }
    let message = "--tui: standard error is no terminal that can be drawn on: leave it out";
    Err(Failure::new(Code::Usage, message))
}

pub struct Screen<'a> {
    to: Sender<News>,
    /// Returns the CPU time that it took, ns.
    thread: Option<JoinHandle<u64>>,
    scenario: String,
    time_left: &'a mut TimeLeft,
    interrupt: Interrupt,
}

impl<'a> Screen<'a> {
    /// Draws from now on.
    pub fn open(
        scenario: &str,
        time_left: &'a mut TimeLeft,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let terminal = take().map_err(|error| {
            restore();
            Failure::new(Code::Usage, format!("--tui: the terminal cannot be drawn on: {error}"))
        })?;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        let (to, news) = channel();
        let view = View::new(plain);
        let watching = interrupt.clone();
        let draw = move || draw(terminal, view, &news, &watching);
        let thread = std::thread::Builder::new().name("view".into()).spawn(draw);
        let thread = thread.map_err(|error| {
            restore();
            Failure::new(Code::Internal, error)
        })?;
        let (thread, scenario) = (Some(thread), scenario.to_owned());
        Ok(Self { to, thread, scenario, time_left, interrupt })
    }

    /// A view that has ended has nothing to show it on.
    fn tell(&self, news: News) {
        let _ = self.to.send(news);
    }
}

impl Observer for Screen<'_> {
    /// A second says more.
    fn progress(&mut self, _: &Progress) {}

    fn wants_seconds(&self) -> bool {
        true
    }

    fn second(&mut self, second: &LiveSecond) {
        self.tell(News::Left(self.time_left.in_words()));
        self.tell(News::Second(Box::new(second.clone())));
    }

    fn happened(&mut self, text: &str) {
        self.tell(News::Line(text.to_owned()));
    }
}

impl StudyObserver for Screen<'_> {
    fn step(&mut self, step: &Step<'_>) {
        let Step { text, done, all, .. } = *step;
        self.interrupt.measuring.store(done > 0 || !text.contains("starting"), Relaxed);
        self.time_left.cells(done, all);
        let place = format!("{} {}/{all}", self.scenario, (done + 1).min(all));
        self.tell(News::Step { place, text: text.to_owned() });
        self.tell(News::Left(self.time_left.in_words()));
    }

    fn warning(&mut self, text: &str) {
        self.tell(News::Line(format!("warning: {text}")));
    }
}

impl Shown for Screen<'_> {
    fn clear(&mut self) -> Option<u64> {
        self.tell(News::End);
        let spent_ns = self.thread.take()?.join().unwrap_or(0);
        restore();
        Some(spent_ns)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

/// Until it is told that there is no more, or the terminal is gone.
fn draw(
    mut terminal: Terminal<CrosstermBackend<Stderr>>,
    mut view: View,
    news: &Receiver<News>,
    interrupt: &Interrupt,
) -> u64 {
    let mut due = Instant::now();
    loop {
        for one in news.try_iter() {
            if matches!(one, News::End) {
                return thread_cpu_ns();
            }
            view.take(one);
        }
        view.interrupted = interrupt.flag.load(Relaxed);
        if Instant::now() >= due {
            due = Instant::now() + EVERY;
            if shown() && terminal.draw(|frame| view.render(frame)).is_err() {
                break;
            }
        }
        match poll(due.saturating_duration_since(Instant::now())) {
            Ok(true) => heed(read()),
            Ok(false) => {}
            Err(_) => break,
        }
    }
    // Nothing to draw on any more: the load goes on all the same.
    while !matches!(news.recv(), Ok(News::End) | Err(_)) {}
    thread_cpu_ns()
}

/// Raw mode makes no signal of Ctrl-C.
fn heed(event: io::Result<Event>) {
    let Ok(Event::Key(key)) = event else { return };
    let asked = match key.code {
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        KeyCode::Char('q') => true,
        _ => false,
    };
    if asked && key.is_press() {
        let _ = raise(SIGINT);
    }
}
