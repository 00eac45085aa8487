//! Loads the configuration that the command line names.

use nvr_core::config::Config;

use crate::cli::Global;
use crate::exit::Failure;

/// Loads it in order to ask, and logs what is doubtful. Passwords of cameras may be missing: whoever looks at
/// footage need not have the recorder's secrets.
///
/// # Errors
/// Those of [`Config::load_without_secrets`].
pub fn load(global: &Global) -> Result<Config, Failure> {
    let config = Config::load_without_secrets(&global.config)?;
    warn(&config);
    Ok(config)
}

/// Logs what is doubtful in it.
pub fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!(line = warning.line, key = warning.key, "{}", warning.message);
    }
}
