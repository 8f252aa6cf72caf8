//! Packs the files of the page: each compressed, in a table by path, under a name that changes with any of them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Stands in the first page for the name of the release.
const RELEASE: &str = "{{release}}";

fn main() -> io::Result<()> {
    let files = Path::new("files");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=files");
    let mut paths = Vec::new();
    list(files, &mut paths)?;
    paths.sort();
    let mut read = Vec::new();
    for path in paths {
        let name = path.strip_prefix(files).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        read.push((name, fs::read(&path)?));
    }
    let release = release(&read);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    let mut table =
        format!("/// Changes with any of the files.\npub(crate) const RELEASE: &str = {release:?};\n");
    table.push_str("/// Paths, and what is there, as gzip.\nconst FILES: &[(&str, &[u8])] = &[\n");
    for (number, (name, bytes)) in read.iter().enumerate() {
        let packed = out.join(format!("{number}.gz"));
        let bytes = match name.as_str() {
            "index.html" => String::from_utf8_lossy(bytes).replace(RELEASE, &release).into_bytes(),
            _ => bytes.clone(),
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        fs::write(&packed, encoder.finish()?)?;
        let _ = writeln!(table, "    ({name:?}, include_bytes!({packed:?})),");
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)
}

/// The files of a folder and of those in it.
fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, paths)?,
            false => paths.push(path),
        }
    }
    Ok(())
}

fn release(files: &[(String, Vec<u8>)]) -> String {
    let mut hasher = DefaultHasher::new();
    for (name, bytes) in files {
        hasher.write(name.as_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    format!("{:016x}", hasher.finish())
}
