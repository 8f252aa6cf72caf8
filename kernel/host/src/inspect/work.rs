//! How much work a function makes for the compiler. Its time grows with the square of a function's branches and of its
//! length, worse where loops carry many locals, and with each value that a block or a call passes: so a small function
//! can keep it busy for hours.

use wasmparser::{BinaryReaderError, BrTable, FunctionBody, Operator};

use super::signatures::{Signature, Signatures};

/// Deepest nesting of loops in a function. People write five.
pub(super) const MAX_LOOP_DEPTH: u64 = 64;

/// How many values a block, a branch or a call may pass before they count. People's pass fewer.
const FREE_VALUES: u64 = 8;

/// What each further value costs.
const VALUE_UNITS: u64 = 20;

/// The compiler asks of each value of a block whether it lives at each branch of the function; so many of these
/// questions cost a unit, and fifty bytes.
const QUESTIONS: u64 = 25;

/// How many more questions the values of an `if` and of a loop make than those of a block.
const IF_QUESTIONS: u64 = 3;
const LOOP_QUESTIONS: u64 = 8;

/// A function of so many bytes costs twice what its bytes would in small ones.
const CROWDED_BYTES: u64 = 450_000;

/// What a function asks of the compiler.
#[derive(Debug, Default)]
pub(super) struct Work {
    bytes: u64,
    locals: u64,
    branches: u64,
    loops: u64,
    /// Values that are passed, without those that are free.
    values: u64,
    /// All that blocks pass, each as often as it makes questions.
    block_values: u64,
    /// How deep loops lie in one another.
    pub(super) loop_depth: u64,
}

/// An open block.
struct Block {
    is_loop: bool,
    /// How many values a branch to it passes.
    passed: u32,
}

impl Work {
    /// The work of the function whose body is next.
    pub(super) fn of(
        body: &FunctionBody<'_>,
        signatures: &mut Signatures,
    ) -> Result<Self, BinaryReaderError> {
        let own = signatures.next_body();
        let mut work = Self { bytes: body.as_bytes().len() as u64, ..Self::default() };
        work.pass(own.values());
        for locals in body.get_locals_reader()? {
            work.locals += u64::from(locals?.0);
        }
        let mut open = vec![Block { is_loop: false, passed: own.results }];
        let mut depth = 0;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            match operator {
                Operator::Loop { blockty } => {
                    let signature = signatures.of_block(blockty);
                    work.open(signature, LOOP_QUESTIONS);
                    open.push(Block { is_loop: true, passed: signature.params });
                    work.loops += 1;
                    depth += 1;
                    work.loop_depth = work.loop_depth.max(depth);
                }
                Operator::Block { blockty } | Operator::If { blockty } => {
                    let signature = signatures.of_block(blockty);
                    let is_if = matches!(operator, Operator::If { .. });
                    work.open(signature, if is_if { IF_QUESTIONS } else { 1 });
                    open.push(Block { is_loop: false, passed: signature.results });
                }
                Operator::TryTable { ref try_table } => {
                    let signature = signatures.of_block(try_table.ty);
                    work.open(signature, IF_QUESTIONS);
                    work.branches += try_table.catches.len() as u64;
                    open.push(Block { is_loop: false, passed: signature.results });
                }
                Operator::End if open.pop().is_some_and(|block| block.is_loop) => depth -= 1,
                _ => work.operator(&operator, &open, signatures),
            }
        }
        Ok(work)
    }

    fn open(&mut self, signature: Signature, questions: u64) {
        self.branches += 1;
        self.pass(signature.values());
        self.block_values = self.block_values.saturating_add(signature.values().saturating_mul(questions));
    }

    /// What passes values and opens no block.
    fn operator(&mut self, operator: &Operator<'_>, open: &[Block], signatures: &Signatures) {
        let values = match operator {
            Operator::Br { relative_depth } => passed(open, *relative_depth),
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth } => {
                self.branches += 1;
                passed(open, *relative_depth)
            }
            Operator::BrTable { targets } => return self.table(targets, open),
            Operator::Return => open.first().map_or(0, |function| function.passed.into()),
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                signatures.of_function(*function_index).values()
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => signatures.of_type(*type_index).values(),
            _ => return,
        };
        self.pass(values);
    }

    /// All targets take as many values as the default does.
    fn table(&mut self, targets: &BrTable<'_>, open: &[Block]) {
        let count = u64::from(targets.len());
        self.branches += count;
        let each = passed(open, targets.default()).saturating_sub(FREE_VALUES);
        self.values = self.values.saturating_add(each.saturating_mul(count + 1));
    }

    fn pass(&mut self, values: u64) {
        self.values = self.values.saturating_add(values.saturating_sub(FREE_VALUES));
    }

    /// In units of what a byte of ordinary code takes, about a microsecond. The factors are measured.
    pub(super) fn units(&self) -> u64 {
        let branches = self.branches.saturating_mul(self.branches);
        let loops = self.loops.saturating_mul(self.loops);
        let carried = loops.saturating_mul(60).saturating_add(branches).saturating_mul(self.locals) / 6_000;
        let crowded = self.bytes.saturating_mul(self.bytes) / CROWDED_BYTES;
        let passed = self.values.saturating_mul(VALUE_UNITS);
        let questions = self.block_values.saturating_mul(self.branches) / QUESTIONS;
        [crowded, branches / 100, carried, passed, questions]
            .into_iter()
            .fold(self.bytes, u64::saturating_add)
    }
}

fn passed(open: &[Block], relative_depth: u32) -> u64 {
    let target = open.len().checked_sub(relative_depth as usize + 1).and_then(|index| open.get(index));
    target.map_or(0, |block| block.passed.into())
}
