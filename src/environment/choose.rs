//! What `auto` takes: containers where an engine answers and the images are here or can be pulled, else processes.

use super::EnvironmentError;
use super::docker::{Engine, find_engine, image_name};
use crate::model::Software;

/// What was taken, and why: for the user's eyes and for the results.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Else native.
    pub docker: bool,
    pub because: String,
}

/// Asks the engine, with a deadline for each question. Starts and pulls nothing.
pub fn choose() -> Choice {
    match find_engine().and_then(images) {
        Ok(because) => Choice { docker: true, because },
        Err(error) => Choice { docker: false, because: format!("no containers: {}", first_line(&error)) },
    }
}

fn images(engine: Engine) -> Result<String, EnvironmentError> {
    let mut absent = Vec::new();
    for software in [Software::Kafka, Software::Redis] {
        let name = image_name(software)?;
        if engine.image(&name)?.is_some() {
            continue;
        }
        // Asking a registry may take long where there is no network: the first that is not to be had decides.
        if !engine.can_pull(&name) {
            return Err(EnvironmentError::missing(format!("image {name}"), "`brokerbench doctor` says more"));
        }
        absent.push(name);
    }
    let answers = format!("engine {} answers", engine.version);
    Ok(match absent.is_empty() {
        true => format!("{answers}, and the images are here"),
        false => format!("{answers}, and {} can be pulled", absent.join(", ")),
    })
}

fn first_line(error: &EnvironmentError) -> String {
    error.parts().0.lines().next().unwrap_or_default().to_owned()
}
