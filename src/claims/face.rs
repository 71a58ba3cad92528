//! What a reader sees first, as data: the one-line rows of a claim, the sentences that say what
//! came out, and the cells that the overview draws. `report::face` computes them.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A cell of a claim for each system, by scenario, metric and matrix point.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    pub metric: String,
    pub scenario: String,
    /// Values of the matrix point; others may stand beside them.
    #[serde(default)]
    pub at: BTreeMap<String, String>,
    /// The labels of systems that do not stand under their own names there.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Systems of which it says nothing, such as a list that was empty when its broker was killed.
    #[serde(default)]
    pub without: Vec<String>,
}

/// A question with its condition, and one value for each system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceRow {
    /// The claim in one sentence, of the first row.
    #[serde(default)]
    pub claim: Option<String>,
    pub title: String,
    pub cell: Pick,
}

/// A sentence over cells. Which of its texts is taken follows from them.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sentence {
    /// Each primitive's value against Kafka's: `{times}` is from the least factor to the largest,
    /// `{who}` the primitives. Each text is of those to whom it applies: `mixed` of those that are
    /// shown to lie on neither side, of whom nothing is said without it.
    Ratio {
        name: String,
        claim: String,
        cell: Box<Pick>,
        lower: RatioText,
        higher: RatioText,
        #[serde(default)]
        mixed: Option<String>,
    },
    /// Who lost what it had acknowledged, `{lost}`, and who did not in ten faults or more,
    /// `{kept}`; how many of all lost something, `{few}` of `{all}`.
    Lost {
        name: String,
        claim: String,
        of: Vec<Struck>,
        lost: String,
        kept: String,
        /// Its core.
        title: String,
    },
    /// How the claims came out: `{right}`, `{wrong}`, `{mixed}`, `{open}` and `{all}` in words.
    Verdicts { text: String },
}

/// A sentence, and its core for the title of the overview.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioText {
    pub text: String,
    #[serde(default)]
    pub title: Option<String>,
}

/// A setting under a fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Struck {
    pub words: String,
    pub label: String,
    pub scenario: String,
}

/// What came out of one topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicText {
    pub topic: String,
    pub sentences: Vec<Sentence>,
}

/// A chart of the overview. Its title is the core of the sentence of that name; the title that
/// stands here where it says nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceChart {
    pub claim: String,
    pub finding: String,
    pub title: String,
    pub note: String,
    pub draw: FaceDrawing,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaceDrawing {
    /// Two values of each system, the first hollow, the second filled.
    Pair { from: Box<Pick>, to: Box<Pick> },
    /// Three quantiles of each system, the middle one filled.
    Quantiles { of: Vec<Pick> },
    /// For how long what was acknowledged is gone, a bar for each setting.
    Lost { of: Vec<Struck> },
}

/// All of it, over all claims.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Face {
    pub topics: Vec<TopicText>,
    pub charts: Vec<FaceChart>,
}
