//! Colors, spacing and text sizes of the dark and the light theme.

use eframe::egui::{
    self, Color32, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, ThemePreference, Visuals,
};

use crate::options::ThemeChoice;

/// Colors that egui's visuals do not define.
#[derive(Clone, Copy)]
pub struct Palette {
    pub card: Color32,
    pub border: Color32,
    /// Grid lines of a plot.
    pub grid: Color32,
    pub faint: Color32,
    pub measured: Color32,
    pub forecast: Color32,
    pub training: Color32,
    pub validation: Color32,
    pub good: Color32,
    pub alarm: Color32,
}

const DARK: Palette = Palette {
    card: Color32::from_rgb(27, 30, 37),
    border: Color32::from_rgb(43, 48, 58),
    grid: Color32::from_rgb(84, 92, 106),
    faint: Color32::from_rgb(138, 146, 160),
    measured: Color32::from_rgb(160, 168, 182),
    forecast: Color32::from_rgb(86, 170, 255),
    training: Color32::from_rgb(86, 170, 255),
    validation: Color32::from_rgb(255, 166, 77),
    good: Color32::from_rgb(92, 201, 139),
    alarm: Color32::from_rgb(255, 99, 99),
};

const LIGHT: Palette = Palette {
    card: Color32::from_rgb(255, 255, 255),
    border: Color32::from_rgb(222, 226, 232),
    grid: Color32::from_rgb(178, 186, 198),
    faint: Color32::from_rgb(98, 106, 120),
    measured: Color32::from_rgb(122, 130, 144),
    forecast: Color32::from_rgb(16, 110, 214),
    training: Color32::from_rgb(16, 110, 214),
    validation: Color32::from_rgb(214, 108, 0),
    good: Color32::from_rgb(24, 138, 80),
    alarm: Color32::from_rgb(206, 38, 38),
};

/// Returns the palette of the theme that `ui` is drawn in.
pub fn palette(ui: &egui::Ui) -> Palette {
    if ui.visuals().dark_mode { DARK } else { LIGHT }
}

/// Converts the user's choice to egui's preference.
pub fn preference(choice: ThemeChoice) -> ThemePreference {
    match choice {
        ThemeChoice::Dark => ThemePreference::Dark,
        ThemeChoice::Light => ThemePreference::Light,
        ThemeChoice::System => ThemePreference::System,
    }
}

/// Sets up the theme of a window.
pub fn install(ctx: &egui::Context, choice: ThemeChoice) {
    ctx.set_visuals_of(Theme::Dark, visuals(Visuals::dark(), DARK, Color32::from_rgb(18, 20, 25)));
    ctx.set_visuals_of(Theme::Light, visuals(Visuals::light(), LIGHT, Color32::from_rgb(243, 244, 247)));
    ctx.all_styles_mut(|style| {
        let font = |size: f32| FontId::new(size, FontFamily::Proportional);
        style.text_styles = [
            (TextStyle::Small, font(11.5)),
            (TextStyle::Body, font(13.5)),
            (TextStyle::Button, font(13.5)),
            (TextStyle::Heading, font(16.0)),
            (TextStyle::Monospace, FontId::new(12.5, FontFamily::Monospace)),
        ]
        .into();
        style.spacing.item_spacing = egui::vec2(8.0, 7.0);
        style.spacing.button_padding = egui::vec2(11.0, 5.0);
        style.spacing.interact_size.y = 24.0;
        style.spacing.slider_width = 128.0;
        style.interaction.selectable_labels = false;
    });
    ctx.set_theme(preference(choice));
}

fn visuals(mut visuals: Visuals, palette: Palette, back: Color32) -> Visuals {
    let radius = CornerRadius::same(6);
    visuals.panel_fill = back;
    visuals.window_fill = palette.card;
    // The background of plots and text fields.
    visuals.extreme_bg_color = palette.card;
    visuals.selection.bg_fill = palette.forecast.gamma_multiply(0.45);
    visuals.hyperlink_color = palette.forecast;
    let widgets = &mut visuals.widgets;
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, palette.border);
    for widget in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
        widget.corner_radius = radius;
    }
    visuals
}

/// Returns the frame of a card.
pub fn card(palette: &Palette) -> egui::Frame {
    egui::Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.0, palette.border))
        .corner_radius(10)
        .inner_margin(Margin::symmetric(14, 11))
}
