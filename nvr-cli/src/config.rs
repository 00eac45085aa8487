//! Loads the configuration that the command line names.

use nvr_core::config::Config;

use crate::cli::Global;
use crate::exit::Failure;

/// Loads it, and logs what is doubtful.
///
/// # Errors
/// Those of [`Config::load`].
pub fn load(global: &Global) -> Result<Config, Failure> {
    let config = Config::load(&global.config)?;
    warn(&config);
    Ok(config)
}

/// Logs what is doubtful in it.
pub fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!(line = warning.line, key = warning.key, "{}", warning.message);
    }
}
