//! Questions to a disk, which may hang as long as the disk does.

use tokio::task::{JoinError, JoinHandle};

/// A question that may hang. There is one at a time, so a disk that does not answer takes one thread and no more.
pub(super) struct Question<T>(Option<JoinHandle<T>>);

impl<T> Default for Question<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Question<T> {
    /// The answer to what was asked last, or to this; `None` when it does not come before `patience` ends.
    pub(super) async fn ask(
        &mut self,
        question: impl FnOnce() -> T + Send + 'static,
        patience: impl Future<Output = ()>,
    ) -> Option<Result<T, JoinError>> {
        let asked = self
            .0
            .get_or_insert_with(|| tokio::task::spawn_blocking(question));
        tokio::select! {
            biased;
            answer = asked => {
                self.0 = None;
                Some(answer)
            }
            () = patience => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_disk_that_hangs_is_not_asked_again_before_it_answers() {
        let (asked, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel::<u32>();
        let mut look = Question(None);
        let first = asked.clone();
        let hangs = move || {
            first.send(1).unwrap();
            answers.recv().unwrap()
        };
        assert!(look.ask(hangs, std::future::ready(())).await.is_none());
        for n in 2..5 {
            let again = asked.clone();
            let more = move || {
                again.send(n).unwrap();
                0
            };
            assert!(look.ask(more, std::future::ready(())).await.is_none());
        }
        answer.send(7).unwrap();
        let found = look.ask(|| 0, std::future::pending()).await;
        assert_eq!(found.unwrap().unwrap(), 7);
        // The next question is a new one.
        let found = look.ask(|| 8, std::future::pending()).await;
        assert_eq!(found.unwrap().unwrap(), 8);
        assert_eq!(questions.try_iter().collect::<Vec<_>>(), [1]);
    }
}
