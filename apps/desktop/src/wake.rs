//! Repaints of the window, requested from other threads.

use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui;

/// Requests repaints of the current window.
#[derive(Clone, Default)]
pub struct Wake(Arc<Mutex<Option<egui::Context>>>);

impl Wake {
    /// Makes the window of `context` the current one.
    pub fn set(&self, context: egui::Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }

    /// Requests a repaint.
    pub fn repaint(&self) {
        if let Some(context) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            context.request_repaint();
        }
    }
}
