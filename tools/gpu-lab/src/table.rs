//! The table of statistics, as a page in Markdown.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The page before the table. `{gpu}` and `{mesa}` stand for the names of the GPU and of the compiler.
const HEAD: &str = "\
# Kernels as compiled for {gpu}

Written by `scripts/gpu-lab.sh --write` (ADR 0040): statistics of every kernel from
ACO, the compiler of Mesa's driver for AMD GPUs. Compiled without a GPU; nothing was run. Figures of different versions
of the compiler are not comparable.

Compiler: {mesa}

- Latency is the compiler's estimate, in cycles, for one wave that runs alone. It assumes 8 iterations
  for every loop, so it compares a kernel with an earlier version of itself, and not with another kernel.
- Waves: number resident on one SIMD unit, limited by registers and local memory (LDS); at most 32.
- Inverse throughput: cycles that one wave keeps the busiest unit, with as many waves as fit.
- Spills: registers moved to memory, plus bytes of scratch memory. Should be 0.
";

const COLUMNS: [&str; 8] =
    ["kernel", "VGPRs", "LDS, bytes", "waves", "instructions", "latency", "inverse throughput", "spills"];

/// Statistics of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub kernel: String,
    pub vgprs: u64,
    /// Bytes of workgroup memory.
    pub lds: u64,
    pub waves: u64,
    pub instructions: u64,
    pub latency: u64,
    pub throughput: u64,
    pub spills: u64,
}

/// Statistics of all kernels by one compiler.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    gpu: String,
    mesa: String,
    /// By latency, highest first.
    rows: Vec<Row>,
}

impl Table {
    pub fn new(gpu: String, mesa: String, mut rows: Vec<Row>) -> Self {
        rows.sort_by(|a, b| b.latency.cmp(&a.latency).then_with(|| a.kernel.cmp(&b.kernel)));
        Self { gpu, mesa, rows }
    }

    /// Name and version of the compiler.
    pub fn mesa(&self) -> &str {
        &self.mesa
    }

    fn find(&self, kernel: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.kernel == kernel)
    }

    /// One line for each kernel that spills registers.
    pub fn spills(&self) -> Vec<String> {
        let spills = self.rows.iter().filter(|row| row.spills > 0);
        spills.map(|row| format!("{}: spills {}", row.kernel, row.spills)).collect()
    }

    /// One line for each fault of this table compared with an earlier one.
    pub fn findings(&self, before: &Table) -> Vec<String> {
        let mut findings = self.spills();
        for old in &before.rows {
            match self.find(&old.kernel) {
                None => findings.push(format!("{}: missing", old.kernel)),
                Some(new) if 10 * new.latency > 11 * old.latency => {
                    findings.push(format!("{}: latency {}, was {}", old.kernel, new.latency, old.latency));
                }
                Some(_) => {}
            }
        }
        let added = self.rows.iter().filter(|row| before.find(&row.kernel).is_none());
        findings.extend(added.map(|row| format!("{}: not in the table", row.kernel)));
        findings
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", HEAD.replace("{gpu}", &self.gpu).replace("{mesa}", &self.mesa))?;
        writeln!(f, "| {} |\n| --- |{}", COLUMNS.join(" | "), " --: |".repeat(COLUMNS.len() - 1))?;
        for row in &self.rows {
            let Row { kernel, vgprs, lds, waves, instructions, latency, throughput, spills } = row;
            let cells = [vgprs, lds, waves, instructions, latency, throughput, spills].map(u64::to_string);
            writeln!(f, "| {kernel} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

impl FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(str::to_string);
        let gpu = after("# Kernels as compiled for ").ok_or("the table does not name its GPU")?;
        let mesa = after("Compiler: ").ok_or("the table does not name its compiler")?;
        let lines = text.lines().filter(|line| line.starts_with("| ")).skip(2);
        let rows = lines.map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let numbers: Option<Vec<u64>> = cells.iter().skip(1).map(|cell| cell.parse().ok()).collect();
            let Some([vgprs, lds, waves, instructions, latency, throughput, spills]) = numbers.as_deref() else {
                return Err(format!("not a row of the table: {line}"));
            };
            let (vgprs, lds, waves, instructions) = (*vgprs, *lds, *waves, *instructions);
            let (latency, throughput, spills) = (*latency, *throughput, *spills);
            let kernel = cells[0].to_string();
            Ok(Row { kernel, vgprs, lds, waves, instructions, latency, throughput, spills })
        });
        Ok(Self::new(gpu, mesa, rows.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: &str, latency: u64, spills: u64) -> Row {
        let kernel = kernel.to_string();
        Row { kernel, vgprs: 8, lds: 0, waves: 32, instructions: 40, latency, throughput: 9, spills }
    }

    fn table(rows: &[Row]) -> Table {
        Table::new("GPU".to_string(), "Mesa 1".to_string(), rows.to_vec())
    }

    #[test]
    fn a_page_reads_back_as_it_was_written() {
        let table = table(&[row("fill", 428, 0), row("sum", 3320, 2)]);
        assert_eq!(table.to_string().parse(), Ok(table));
    }

    #[test]
    fn faults_are_named() {
        let before = table(&[row("fill", 100, 0), row("sum", 100, 0), row("gone", 1, 0), row("faster", 100, 0)]);
        let same = table(&[row("fill", 110, 0), row("sum", 100, 0), row("gone", 1, 0), row("faster", 50, 0)]);
        assert!(same.findings(&before).is_empty(), "a tenth is allowed");
        let now = table(&[row("fill", 111, 0), row("sum", 100, 3), row("faster", 100, 0), row("new", 1, 0)]);
        let want = ["sum: spills 3", "fill: latency 111, was 100", "gone: missing", "new: not in the table"];
        let mut findings = now.findings(&before);
        let mut want = want.map(str::to_string).to_vec();
        findings.sort();
        want.sort();
        assert_eq!(findings, want);
    }

    #[test]
    fn a_damaged_page_is_an_error() {
        let page = table(&[row("fill", 428, 0)]).to_string();
        assert!(page.replace("428", "fast").parse::<Table>().is_err());
        assert!("# Something else".parse::<Table>().is_err());
    }
}
