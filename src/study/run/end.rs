//! The end of a run: what it comes to, and what there is to know of it.
//!
//! Where nothing was measured, what kept the first cell from it is all there is to say; elsewhere
//! whatever was measured is kept.

use super::{FinishedStudy, RunningStudy, StudyError};
use crate::result::Status;

impl RunningStudy<'_, '_> {
    pub(super) fn finish(
        mut self,
        result: Result<(), StudyError>,
    ) -> Result<FinishedStudy, StudyError> {
        let interrupted = self.interrupted();
        if self.done == 0 && interrupted {
            return self.without(StudyError::Interrupted);
        }
        let nothing = self.measured == 0 && !interrupted;
        if let Some(error) = self.first_error.take().filter(|_| nothing) {
            return self.without(error);
        }
        let ended_early = match result {
            Ok(()) => false,
            Err(error) if self.done == 0 || matches!(error, StudyError::Result(_)) => {
                return self.without(error);
            }
            // Something is kept: say what stopped the rest.
            Err(error) => {
                self.warn(format!("the run ended early: {error}"));
                true
            }
        };
        for warning in self.study.environment.warnings() {
            self.warn(warning);
        }
        if self.repeated > 0 {
            let (repeated, most) = (self.repeated, self.study.scenario.repeat_spoilt);
            self.warn(format!(
                "{repeated} windows that the harness spoilt were measured again, blind to their \
                 values, each at most {most} times"
            ));
        }
        self.manifest.network_path = self.study.environment.network_path();
        self.manifest.provided = self.study.environment.facts();
        self.manifest.status = match () {
            () if interrupted => Status::Interrupted,
            () if ended_early || !self.gone.is_empty() => Status::Invalid,
            () => Status::Complete,
        };
        self.manifest.finished_at = Some(jiff::Timestamp::now().to_string());
        self.folder.write_manifest(&self.manifest)?;
        Ok(FinishedStudy { folder: self.folder, manifest: self.manifest })
    }

    /// Nobody has a use for a run in which nothing was measured. That it cannot be deleted does not
    /// change how this one ended.
    fn without(self, error: StudyError) -> Result<FinishedStudy, StudyError> {
        if self.measured == 0 {
            let _ = self.folder.discard();
        }
        Err(error)
    }
}
