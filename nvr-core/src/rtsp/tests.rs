//! Whole sessions against servers that are lists of answers.

mod brands;
mod playing;
mod sessions;
