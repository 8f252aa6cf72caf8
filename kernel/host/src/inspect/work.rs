//! How much work a function makes for the compiler. Its time grows with the square of a function's branches, and
//! worse where loops carry many locals, so a small function can keep it busy for hours.

use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// Deepest nesting of loops in a function. People write five.
pub(super) const MAX_LOOP_DEPTH: u64 = 64;

/// What a function asks of the compiler.
#[derive(Debug, Default)]
pub(super) struct Work {
    bytes: u64,
    locals: u64,
    branches: u64,
    loops: u64,
    /// How deep loops lie in one another.
    pub(super) loop_depth: u64,
}

impl Work {
    pub(super) fn of(body: &FunctionBody<'_>) -> Result<Self, BinaryReaderError> {
        let mut work = Self { bytes: body.as_bytes().len() as u64, ..Self::default() };
        for locals in body.get_locals_reader()? {
            work.locals += u64::from(locals?.0);
        }
        // For each open block, whether it is a loop.
        let (mut open, mut depth) = (Vec::new(), 0);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Loop { .. } => {
                    open.push(true);
                    work.loops += 1;
                    work.branches += 1;
                    depth += 1;
                    work.loop_depth = work.loop_depth.max(depth);
                }
                Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                    open.push(false);
                    work.branches += 1;
                }
                Operator::End if open.pop() == Some(true) => depth -= 1,
                Operator::BrIf { .. } => work.branches += 1,
                Operator::BrTable { targets } => work.branches += u64::from(targets.len()),
                _ => {}
            }
        }
        Ok(work)
    }

    /// In units of what a byte of ordinary code takes, about a microsecond. The factors are measured.
    pub(super) fn units(&self) -> u64 {
        let branches = self.branches.saturating_mul(self.branches);
        let loops = self.loops.saturating_mul(self.loops);
        let carried = loops.saturating_mul(60).saturating_add(branches).saturating_mul(self.locals) / 6_000;
        self.bytes.saturating_add(branches / 100).saturating_add(carried)
    }
}
