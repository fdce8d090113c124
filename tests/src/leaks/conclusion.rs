//! The last line of `heaptide watch --json`, as far as tests of leaks read it.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Line;

/// What was concluded of all processes.
#[derive(Clone, Debug, Deserialize)]
pub struct Conclusion {
    /// `conclusion`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What was concluded of each process.
    pub processes: Vec<Process>,
}

/// What was concluded of a process.
#[derive(Clone, Debug, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// `growing`, `steady` …
    pub verdict: String,
    /// The verdict in words.
    pub explanation: String,
    /// Stacks that may leak, the worst first.
    pub suspects: Vec<Suspect>,
}

/// A stack that may leak.
#[derive(Clone, Debug, Deserialize)]
pub struct Suspect {
    /// `growing`.
    pub verdict: String,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Bytes a second.
    pub growth_bytes_per_second: f64,
    /// The verdict in words.
    pub explanation: String,
    /// Frames, innermost first.
    pub frames: Vec<Frame>,
}

/// A frame of a stack, or a function that is inlined there.
#[derive(Clone, Debug, Deserialize)]
pub struct Frame {
    /// Its name, or why it has none.
    pub function: Option<String>,
    /// The source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u64>,
}

impl Conclusion {
    /// Reads the last line of the output.
    pub fn read(out: &[String]) -> Result<Self> {
        let line = out.last().context("heaptide watch said nothing")?;
        let conclusion: Self = serde_json::from_str(line).with_context(|| format!("not a conclusion: {line}"))?;
        ensure!(conclusion.kind == "conclusion", "the last line is no conclusion: {line}");
        Ok(conclusion)
    }

    /// What was concluded of the process `pid`.
    pub fn of(&self, pid: u32) -> Result<&Process> {
        let found = self.processes.iter().find(|process| process.pid == pid);
        found.with_context(|| format!("nothing is concluded of process {pid}: {self:?}"))
    }
}

impl Suspect {
    /// Where a reader looks first: the innermost frame whose source line is known.
    #[must_use]
    pub fn first_line(&self) -> Option<(&str, &str, u64)> {
        self.frames.iter().find_map(|frame| {
            let file = frame.file.as_deref()?;
            Some((frame.function.as_deref()?, file.rsplit('/').next().unwrap_or(file), frame.line?))
        })
    }

    /// Whether that is this line.
    #[must_use]
    pub fn is_at(&self, line: &Line) -> bool {
        self.first_line() == Some((line.function, &line.file, line.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &str = r#"{"type":"conclusion","verdict":"growing","processes":[{"pid":7,"verdict":"growing","explanation":"",
        "suspects":[{"verdict":"growing","confidence":0.9,"growth_bytes_per_second":10.0,"explanation":"","frames":[
        {"function":"xmalloc","file":null,"line":null},{"function":"keep","file":"/src/a/keep.c","line":12}]}]}]}"#;

    #[test]
    fn a_suspect_is_at_the_first_line_that_is_known() {
        let out = ["{\"type\":\"interval\"}".to_owned(), OUT.replace('\n', "")];
        let conclusion = Conclusion::read(&out).unwrap();
        let suspect = &conclusion.of(7).unwrap().suspects[0];
        let line = |number| Line { function: "keep", file: "keep.c".to_owned(), number };
        assert!(suspect.is_at(&line(12)) && !suspect.is_at(&line(13)));
        assert!(conclusion.of(8).is_err());
        assert!(Conclusion::read(&out[..1]).is_err());
    }
}
