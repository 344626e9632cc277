//! A plot for each row: a bar for each figure, in the unit that most of them have.

use std::path::Path;

use plotters::prelude::*;

use crate::report::{Row, short};

const WIDTH: u32 = 860;
const BAR: u32 = 22;
const LABELS: u32 = 330;

/// Draws a row's figures as bars; false where there is nothing to compare.
///
/// # Errors
/// Where the file cannot be written.
pub fn row(row: &Row, directory: &Path) -> anyhow::Result<bool> {
    let Some(unit) = row.figures.first().map(|figure| &figure.unit) else { return Ok(false) };
    let figures: Vec<_> = row.figures.iter().filter(|figure| figure.unit == *unit).collect();
    let most = figures.iter().map(|figure| figure.value.max).fold(0.0, f64::max);
    if figures.len() < 2 || most <= 0.0 {
        return Ok(false);
    }
    let path = directory.join(format!("row-{}.svg", row.number));
    let count = u32::try_from(figures.len())?;
    let area = SVGBackend::new(&path, (WIDTH, count * BAR + 40)).into_drawing_area();
    let wrong = |error: DrawingAreaErrorKind<std::io::Error>| anyhow::anyhow!("{error}");
    area.fill(&WHITE).map_err(wrong)?;
    let text = ("sans-serif", 13).into_font();
    let title = format!("{} ({unit})", row.title);
    area.draw(&Text::new(title, (8, 6), ("sans-serif", 14).into_font())).map_err(wrong)?;
    let place = f64::from(WIDTH - LABELS - 90);
    for (index, figure) in (0_u32..).zip(figures) {
        let top = i32::try_from(30 + index * BAR)?;
        let bottom = top + i32::try_from(BAR)? - 6;
        let left = i32::try_from(LABELS)?;
        // Pixels of a plot: the loss is less than one.
        #[expect(clippy::cast_possible_truncation, reason = "at most the plot's width")]
        let x = |value: f64| left + (value / most * place) as i32;
        let ours = figure.who.starts_with("Ordinal");
        let colour = if ours { RGBColor(38, 110, 170) } else { RGBColor(170, 170, 170) };
        let label = format!("{} · {}", figure.case, figure.who);
        area.draw(&Text::new(label, (8, top + 2), text.clone())).map_err(wrong)?;
        let bar = Rectangle::new([(left, top), (x(figure.value.median), bottom)], colour.filled());
        area.draw(&bar).map_err(wrong)?;
        let middle = top.midpoint(bottom);
        let range = vec![(x(figure.value.min), middle), (x(figure.value.max), middle)];
        area.draw(&PathElement::new(range, BLACK)).map_err(wrong)?;
        let value =
            Text::new(short(figure.value.median), (x(figure.value.max) + 6, top + 2), text.clone());
        area.draw(&value).map_err(wrong)?;
    }
    area.present().map_err(wrong)?;
    Ok(true)
}
