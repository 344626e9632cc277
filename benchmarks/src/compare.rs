//! Two reports side by side. Never here: a verdict. Machines are noisy, and people judge.

use crate::report::{Figure, Report, Row, short};

/// Marks figures that differ by more than their own spread.
const MARK: &str = "  <--";

/// Prints what changed from one report to the other.
pub fn print(before: &Report, after: &Report) {
    println!("before: {} of {}", before.commit, before.date);
    println!("after:  {} of {}", after.commit, after.date);
    for row in &after.rows {
        let Some(old) = before.rows.iter().find(|old| old.number == row.number) else { continue };
        println!("{}. {}", row.number, row.title);
        for figure in &row.figures {
            let Some(was) = same(old, figure) else { continue };
            let times = figure.value.median / was.value.median.max(f64::MIN_POSITIVE);
            let apart = figure.value.min > was.value.max || figure.value.max < was.value.min;
            println!(
                "   {}: {}: {} → {} {} ({times:.2}×){}",
                figure.case,
                figure.who,
                short(was.value.median),
                short(figure.value.median),
                figure.unit,
                if apart { MARK } else { "" }
            );
        }
    }
}

fn same<'a>(old: &'a Row, figure: &Figure) -> Option<&'a Figure> {
    let key = |figure: &Figure| (figure.case.clone(), figure.who.clone(), figure.unit.clone());
    old.figures.iter().find(|was| key(was) == key(figure))
}
