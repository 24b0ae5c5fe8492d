//! What was measured, against its target.

/// The table at the end.
#[derive(Default)]
pub struct Figures(Vec<[String; 4]>);

impl Figures {
    /// A figure that has to stay below its target.
    pub fn below(&mut self, what: impl Into<String>, measured: f64, target: f64, unit: &str) {
        let verdict = if measured < target {
            "met".to_owned()
        } else {
            format!("missed: {:.2} times", measured / target)
        };
        self.add(
            what.into(),
            format!("{measured:.2} {unit}"),
            format!("under {target} {unit}"),
            verdict,
        );
    }

    /// A figure that has to be this.
    pub fn exactly(&mut self, what: impl Into<String>, measured: usize, target: usize) {
        let verdict = if measured == target {
            "met".to_owned()
        } else {
            format!("missed by {}", measured.abs_diff(target))
        };
        self.add(what.into(), measured.to_string(), target.to_string(), verdict);
    }

    /// A figure without a target.
    pub fn note(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.add(what.into(), measured.into(), String::new(), String::new());
    }

    fn add(&mut self, what: String, measured: String, target: String, verdict: String) {
        println!("  {what}: {measured} {verdict}");
        self.0.push([what, measured, target, verdict]);
    }

    /// Prints all of them.
    pub fn print(&self) {
        let widest = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max();
        let [what, measured, target] = [0, 1, 2].map(|column| widest(column).unwrap_or_default().max(8));
        println!();
        let head = ["figure", "measured", "target", "verdict"].map(str::to_owned);
        for [a, b, c, d] in std::iter::once(&head).chain(&self.0) {
            println!("{a:<what$}  {b:>measured$}  {c:<target$}  {d}");
        }
    }
}
