//! Titles of cards, and dates.

use eframe::egui;

use super::theme::palette;

/// Draws the title of a card, and a description of its content.
pub fn title(ui: &mut egui::Ui, title: &str, what: &str) {
    let faint = palette(ui).faint;
    ui.horizontal(|ui| {
        ui.label(egui::RichText::new(title).heading().strong());
        ui.add(egui::Label::new(egui::RichText::new(what).small().color(faint)).truncate());
    });
}

/// Shortens a date to a form such as `Jun 1`.
pub fn short_date(date: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split('-').skip(1).map(|part| part.parse::<usize>().unwrap_or(0));
    match (parts.next(), parts.next()) {
        (Some(month @ 1..=12), Some(day)) => format!("{} {day}", MONTHS[month - 1]),
        _ => date.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_shortened() {
        assert_eq!(short_date("2015-06-01"), "Jun 1");
        assert_eq!(short_date(""), "");
    }
}
