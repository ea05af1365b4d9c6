//! How many different answers are being read at a time: who reads slowly keeps one in memory.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Answers that are being read, at most.
const MOST: usize = 4;

/// The answers that have been handed out, as long as somebody reads them.
#[derive(Debug)]
pub(super) struct Handed<T>(Arc<Mutex<Vec<Weak<T>>>>);

impl<T> Default for Handed<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Handed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Handed<T> {
    /// Notes that an answer is handed out; `false` if too many others still are.
    pub(super) fn note(&self, answer: &Arc<T>) -> bool {
        let mut handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handed.retain(|one| one.strong_count() > 0);
        if handed.iter().any(|one| one.as_ptr() == Arc::as_ptr(answer)) {
            return true;
        }
        let has_room = handed.len() < MOST;
        if has_room {
            handed.push(Arc::downgrade(answer));
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_answers_and_no_more() {
        let handed = Handed::default();
        let mut answers: Vec<_> = (0..MOST).map(Arc::new).collect();
        assert!(answers.iter().all(|answer| handed.note(answer)));
        assert!(answers.iter().all(|answer| handed.note(answer)), "to many readers");
        let another = Arc::new(MOST);
        assert!(!handed.note(&another));
        answers.pop();
        assert!(handed.note(&another), "one has been read");
    }
}
