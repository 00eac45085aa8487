//! Keeps panics inside callbacks: unwinding through C would abort the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic is logged, told to `on_panic` and turned into `fallback`.
pub(crate) fn guarded<R>(what: &str, fallback: R, on_panic: impl FnOnce(&str), f: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => value,
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            tracing::error!(callback = what, panic = %text, "a callback panicked");
            // The reaction is ours as well; it must not take the process down either.
            let _ = catch_unwind(AssertUnwindSafe(|| on_panic(&text)));
            fallback
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_fallback_and_is_told() {
        let mut told = String::new();
        let value = guarded("test", 7, |t| t.clone_into(&mut told), || panic!("boom {}", 1));
        assert_eq!((value, told.as_str()), (7, "boom 1"));
    }

    #[test]
    fn a_second_panic_in_the_reaction_is_held_too() {
        assert_eq!(guarded("test", 7, |_| panic!("again"), || panic!("boom")), 7);
    }
}
