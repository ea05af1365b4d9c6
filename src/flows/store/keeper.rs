//! Rows are kept while they come.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use portlane_flows::Batch;
use portlane_stats::flows::StoreReport;

use super::super::columns::Known;
use super::super::settings::StoreSettings;
use super::{Store, retention, rows};
use crate::failure::{Failure, tell};

/// Keeps rows in files that are there after a while each, and removes old ones.
///
/// What cannot be written is lost and counted, and the next rows are tried again: a full disk keeps nobody from counting.
#[derive(Debug)]
pub(crate) struct Keeper {
    settings: StoreSettings,
    growing: Option<Growing>,
    report: StoreReport,
}

/// Files that have no names yet.
#[derive(Debug)]
struct Growing {
    store: Store,
    since: Instant,
    rows: u64,
}

impl Growing {
    fn begin(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { store: Store::create(folder)?, since: Instant::now(), rows: 0 })
    }
}

impl Keeper {
    /// Sees that files can be written, and removes what is too old, or what a run that was killed has left.
    ///
    /// # Errors
    ///
    /// Refused if files cannot be written or removed.
    pub(crate) fn open(settings: StoreSettings) -> Result<Self, Failure> {
        let growing = Growing::begin(&settings.folder)?;
        let report = StoreReport { folder: settings.folder.display().to_string(), ..StoreReport::default() };
        let mut keeper = Self { settings, growing: Some(growing), report };
        keeper.remove_old().map_err(Failure::refused)?;
        Ok(keeper)
    }

    /// What became of rows.
    #[must_use]
    pub(crate) fn report(&self) -> &StoreReport {
        &self.report
    }

    /// Takes the rows of a second or a minute.
    pub(in crate::flows) fn take(&mut self, batch: &Batch, known: &Known) {
        let rows = rows(batch);
        let taken = self.growing().and_then(|growing| {
            growing.store.take(batch, known)?;
            growing.rows += rows;
            Ok(())
        });
        if let Err(failure) = taken {
            self.lose(rows, &failure);
        }
        self.tend();
    }

    /// Gives files their names when they have grown for long enough.
    pub(crate) fn tend(&mut self) {
        if self.growing.as_ref().is_some_and(|growing| growing.since.elapsed() >= self.settings.every) {
            self.finish();
        }
    }

    /// Gives files their names.
    pub(crate) fn finish(&mut self) {
        let Some(Growing { store, rows, .. }) = self.growing.take() else { return };
        match store.finish_beside() {
            Ok(()) => self.kept(rows),
            Err(failure) => self.lose(rows, &failure),
        }
        if let Err(cause) = self.remove_old() {
            self.fail(&cause);
        }
    }

    fn growing(&mut self) -> Result<&mut Growing, Failure> {
        Ok(match &mut self.growing {
            Some(growing) => growing,
            none => none.insert(Growing::begin(&self.settings.folder)?),
        })
    }

    fn kept(&mut self, rows: u64) {
        self.report.rows += rows;
        if rows > 0 && self.report.error.take().is_some() {
            tell(format!("rows of flows are kept in {} again", self.report.folder));
        }
    }

    /// These rows are lost, with all in files that have no names yet.
    fn lose(&mut self, rows: u64, failure: &Failure) {
        self.report.lost_rows += rows + self.growing.take().map_or(0, |growing| growing.rows);
        let (Failure::Refused(cause) | Failure::Failed(cause)) = failure;
        self.fail(cause);
    }

    /// Says so once, until it is well again.
    fn fail(&mut self, cause: &str) {
        if self.report.error.is_none() {
            tell(format!("warning: rows of flows are lost until this is mended: {cause}"));
        }
        self.report.error = Some(cause.to_owned());
    }

    fn remove_old(&mut self) -> Result<(), String> {
        let since = SystemTime::UNIX_EPOCH.elapsed().map(|now| now.as_secs());
        let before = self.settings.age.zip(since.ok()).map(|(age, now)| now.saturating_sub(age.as_secs()));
        let StoreSettings { folder, every, limit, .. } = &self.settings;
        retention::remove_left(folder, *every + Duration::from_secs(3_600))?;
        self.report.removed_files += retention::remove_old(folder, before, limit.0)?;
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
    }
}
