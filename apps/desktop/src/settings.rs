//! The user's settings, stored next to the model, and their folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::options::{Place, ThemeChoice};

/// Name of the application's folder in the user's application data.
const FOLDER: &str = "wgru-desktop";
const FILE: &str = "settings.json";

/// The user's choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: ThemeChoice,
    pub place: Place,
    /// Speed of the sensor in days per second.
    pub speed: f32,
    pub threshold: f32,
    /// First day and number of days in the picture of the gates, counted from the start of the test year.
    pub gates_from: usize,
    pub gates_days: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            place: Place::Window,
            speed: 20.0,
            threshold: 3.0,
            gates_from: 120,
            gates_days: 120,
        }
    }
}

impl Settings {
    /// Reads the settings in a folder, or returns the defaults if it has none.
    ///
    /// # Errors
    /// A message that says what is wrong with the file.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let settings: Self = serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(settings.within_bounds())
    }

    fn within_bounds(mut self) -> Self {
        self.speed = self.speed.clamp(1.0, 200.0);
        self.threshold = self.threshold.clamp(1.0, 6.0);
        self.gates_days = self.gates_days.clamp(14, 364);
        self.gates_from = self.gates_from.min(364 - self.gates_days);
        self
    }

    /// Writes the settings atomically.
    ///
    /// # Errors
    /// A message that says what went wrong.
    pub fn save(&self, folder: &Path) -> Result<(), String> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        wgru::io::write_atomically(&path, &text).map_err(|error| error.to_string())
    }
}

/// Returns the system's folder for application data.
///
/// # Errors
/// A message that names the variable that is not set.
pub fn default_folder() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").ok_or("HOME is not set; use --state FOLDER".to_string());
    let base = if cfg!(windows) {
        variable("APPDATA").ok_or("APPDATA is not set; use --state FOLDER".to_string())?
    } else if cfg!(target_os = "macos") {
        home()?.join("Library/Application Support")
    } else {
        match variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
            Some(path) => path,
            None => home()?.join(".local/share"),
        }
    };
    Ok(base.join(FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        assert_eq!(Settings::open(&inner).unwrap(), Settings::default());
        let settings = Settings { theme: ThemeChoice::Light, place: Place::Own, speed: 7.0, ..Settings::default() };
        settings.save(&inner).unwrap();
        assert_eq!(Settings::open(&inner).unwrap(), settings);
    }

    #[test]
    fn damaged_files_are_named_and_values_are_clamped_to_their_range() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        assert!(Settings::open(folder.path()).unwrap_err().contains(FILE));
        std::fs::write(folder.path().join(FILE), br#"{"speed": -4, "gates_from": 9999}"#).unwrap();
        let settings = Settings::open(folder.path()).unwrap();
        assert_eq!((settings.speed, settings.gates_from), (1.0, 244));
    }
}
