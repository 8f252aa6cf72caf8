//! A backup is read, and verified to its end.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use serde::de::DeserializeOwned;
use tar::{Archive, Entry as TarEntry, EntryType};

use super::form::{Entry, HEADER, Header, MANIFEST, Manifest, Problem, place};
use super::write::Hashing;
use prx_store::FILE;

/// The largest header, in bytes.
const MAX_HEADER: u64 = 64 << 10;
/// The largest manifest, in bytes: some million files.
const MAX_MANIFEST: u64 = 512 << 20;
/// What may stand behind the last entry: tar fills its last block with zeros.
const MAX_PADDING: u64 = 64 << 10;

type Decoded<R> = GzDecoder<BufReader<R>>;

/// A backup that is whole.
#[derive(Debug)]
pub struct Found {
    /// What it is.
    pub header: Header,
    /// How many files are in it.
    pub files: usize,
    /// How many bytes they have, unpacked.
    pub bytes: u64,
    /// Files of the data directory that are not in it, and why.
    pub left_out: Vec<String>,
}

/// What a backup is, without a look at the rest of it.
///
/// # Errors
/// It is none.
pub fn header(from: impl Read) -> Result<Header, Problem> {
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(from)));
    let first = archive.entries().ok().and_then(|entries| entries.raw(true).next());
    let first = first.and_then(Result::ok).filter(|entry| *entry.path_bytes() == *HEADER.as_bytes());
    let header = first.and_then(|mut entry| json(&mut entry, MAX_HEADER).ok());
    header.ok_or_else(|| Problem::new("it is no backup of prx"))
}

/// Reads a backup to its end. `take` is given each file with its path in a data directory, and reads all of it. What it was
/// given counts once this has returned: only then is it known to be what was written.
///
/// # Errors
/// It is none, or newer than this prx, or damaged: cut off, changed, with something missing or something foreign in it. Or
/// `take` has failed.
pub fn read(
    from: impl Read,
    mut take: impl FnMut(&str, &mut dyn Read) -> Result<(), Problem>,
) -> Result<Found, Problem> {
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(from)));
    let mut read = HashMap::new();
    let (mut header, mut manifest) = (None, None);
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = match (entry, &header) {
            (Ok(entry), _) => entry,
            (Err(_), None) => return Err(Problem::new("it is no backup of prx")),
            (Err(error), Some(_)) => return Err(broken(error)),
        };
        let name = entry.path_bytes().into_owned();
        if manifest.is_some() {
            return Err(Problem::damaged("it goes on behind its manifest"));
        }
        match (&header, name.as_slice()) {
            (None, name) if name == HEADER.as_bytes() => {
                let found: Header = json(&mut entry, MAX_HEADER)?;
                found.check()?;
                header = Some(found);
            }
            (None, _) => return Err(Problem::new("it is no backup of prx")),
            (Some(_), name) if name == MANIFEST.as_bytes() => {
                manifest = Some(json::<Manifest>(&mut entry, MAX_MANIFEST)?);
            }
            (Some(_), name) => {
                let path = place(name)?;
                if read.contains_key(path) {
                    return Err(Problem::damaged(format_args!("{path:?} is in it twice")));
                }
                read.insert(path.to_owned(), one(path, entry, &mut take)?);
            }
        }
    }
    to_its_end(archive.into_inner())?;
    let header = header.ok_or_else(|| Problem::new("it is no backup of prx"))?;
    let manifest = manifest.ok_or_else(|| Problem::damaged("it ends before its manifest"))?;
    let (files, bytes) = (read.len(), read.values().map(|(size, _)| size).sum());
    compare(read, &manifest)?;
    Ok(Found { header, files, bytes, left_out: manifest.left_out })
}

/// The size of one file, and its SHA-256.
fn one<R: Read>(
    path: &str,
    entry: TarEntry<'_, R>,
    take: &mut impl FnMut(&str, &mut dyn Read) -> Result<(), Problem>,
) -> Result<(u64, String), Problem> {
    if entry.header().entry_type() != EntryType::Regular {
        return Err(Problem::damaged(format_args!("{path:?} is no file in it")));
    }
    let size = entry.size();
    let mut hashing = Hashing::new(entry);
    take(path, &mut hashing)?;
    let (read, sha256) = hashing.end();
    match read == size {
        true => Ok((size, sha256)),
        false => Err(Problem::damaged(format_args!("it ends in the middle of {path:?}"))),
    }
}

/// Holds what was read against what was written.
fn compare(mut read: HashMap<String, (u64, String)>, manifest: &Manifest) -> Result<(), Problem> {
    let has_store = read.contains_key(FILE);
    for Entry { path, size, sha256 } in &manifest.entries {
        match read.remove(path) {
            None => return Err(Problem::damaged(format_args!("{path:?} is missing"))),
            Some((found, digest)) if found == *size && digest == *sha256 => {}
            Some(_) => return Err(Problem::damaged(format_args!("{path:?} is not what was written"))),
        }
    }
    if let Some(foreign) = read.into_keys().next() {
        return Err(Problem::damaged(format_args!("{foreign:?} is in it, and not in its manifest")));
    }
    if !has_store {
        return Err(Problem::damaged(format_args!("{FILE:?} is missing")));
    }
    Ok(())
}

/// Reads what is behind the last entry, so that the sum at the very end is checked.
fn to_its_end<R: Read>(mut rest: Decoded<R>) -> Result<(), Problem> {
    let padding = io::copy(&mut rest.by_ref().take(MAX_PADDING), &mut io::sink()).map_err(broken)?;
    let goes_on = padding == MAX_PADDING || !rest.get_mut().fill_buf().map_err(broken)?.is_empty();
    if goes_on { Err(Problem::damaged("it goes on behind its end")) } else { Ok(()) }
}

fn json<T: DeserializeOwned>(entry: &mut impl Read, most: u64) -> Result<T, Problem> {
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes).map_err(broken)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::damaged(format_args!("what it says of itself: {error}")))
}

fn broken(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::damaged("it ends early"),
        _ => Problem::damaged(error),
    }
}
