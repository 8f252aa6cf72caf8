//! How many values the functions and blocks of a module pass. What passes many is dear to compile, however few bytes it
//! is written in.

use wasmparser::{
    BinaryReaderError, BlockType, CompositeInnerType, FunctionSectionReader, ImportSectionReader, TypeRef,
    TypeSectionReader,
};

/// How many values come in and go out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signature {
    pub(super) params: u32,
    pub(super) results: u32,
}

impl Signature {
    pub(super) fn values(self) -> u64 {
        u64::from(self.params) + u64::from(self.results)
    }
}

/// The signatures of one module.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    types: Vec<Signature>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    /// How many functions with code have been read.
    bodies: usize,
    imported: usize,
}

impl Signatures {
    pub(super) fn types(&mut self, section: TypeSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for group in section {
            for declared in group?.into_types() {
                self.types.push(match declared.composite_type.inner {
                    CompositeInnerType::Func(function) => Signature {
                        params: count(function.params().len()),
                        results: count(function.results().len()),
                    },
                    _ => Signature::default(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn imports(&mut self, section: ImportSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for import in section.into_imports() {
            if let TypeRef::Func(index) | TypeRef::FuncExact(index) = import?.ty {
                self.functions.push(index);
            }
        }
        self.imported = self.functions.len();
        Ok(())
    }

    pub(super) fn functions(&mut self, section: FunctionSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for index in section {
            self.functions.push(index?);
        }
        Ok(())
    }

    /// The signature of the function whose body is read next.
    pub(super) fn next_body(&mut self) -> Signature {
        self.bodies += 1;
        let index = self.imported + self.bodies - 1;
        self.functions.get(index).map_or_else(Signature::default, |index| self.of_type(*index))
    }

    /// What has no such signature is invalid, which the compiler says.
    pub(super) fn of_type(&self, index: u32) -> Signature {
        self.types.get(index as usize).copied().unwrap_or_default()
    }

    pub(super) fn of_function(&self, index: u32) -> Signature {
        self.functions.get(index as usize).map_or_else(Signature::default, |index| self.of_type(*index))
    }

    pub(super) fn of_block(&self, block: BlockType) -> Signature {
        match block {
            BlockType::Empty => Signature::default(),
            BlockType::Type(_) => Signature { params: 0, results: 1 },
            BlockType::FuncType(index) => self.of_type(index),
        }
    }
}

fn count(values: usize) -> u32 {
    u32::try_from(values).unwrap_or(u32::MAX)
}
