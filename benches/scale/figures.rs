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
        self.add(what.into(), format!("{measured:.2} {unit}"), format!("under {target} {unit}"), verdict);
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
        println!("\n{:<72} {:>18}  {:<18} verdict", "figure", "measured", "target");
        for [what, measured, target, verdict] in &self.0 {
            println!("{what:<72} {measured:>18}  {target:<18} {verdict}");
        }
    }
}
