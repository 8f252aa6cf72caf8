//! A backup is written: from a copy of the store, and from the files that are replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header as TarHeader};

use super::form::{
    BLOBS, CONFIG, Entry, FILES, HEADER, Header, MANIFEST, MAX_PATH, Manifest, PLUGINS, Problem, SKILLS,
};
use prx_base::text::hex;
use prx_store::{FILE, StoreCopy};

/// How deep folders of skills and private directories are looked into.
const MAX_DEPTH: usize = 32;
/// How often a file is copied that changes meanwhile.
const TRIES: u32 = 3;

/// What a backup is taken of.
#[derive(Debug)]
pub struct Source {
    /// Where plugins and skills are.
    pub data_dir: PathBuf,
    /// What the configuration file says; none where there is none.
    pub config: Option<String>,
    /// The store.
    pub copy: StoreCopy,
    /// When that was copied.
    pub at: Timestamp,
}

impl Source {
    /// Writes the backup. Takes as long as reading all of it does, so it is no work for an async task. The copy of the store
    /// is gone before the last of it is written.
    ///
    /// # Errors
    /// A file can't be read, or has changed while it was; or what takes it in does not.
    pub fn write(self, to: impl Write) -> Result<(), Problem> {
        let Self { data_dir, config, copy, at } = self;
        let tar = Builder::new(GzEncoder::new(to, Compression::fast()));
        let mut backup = Backup { tar, at, manifest: Manifest::default() };
        let header = Header::new(at);
        backup.text(HEADER, &serde_json::to_vec(&header).map_err(unwritten)?)?;
        // What it is need not be listed.
        backup.manifest.entries.clear();
        if let Some(config) = &config {
            backup.text(CONFIG, config.as_bytes())?;
        }
        backup.file(FILE, &copy.file())?;
        backup.folder(BLOBS, &copy.blobs(), 0, &mut Backup::file)?;
        let still = copy.file().with_extension("still");
        backup.folder(FILES, &data_dir.join(FILES), MAX_DEPTH, &mut |backup, path, from| {
            backup.changing(path, from, &still)
        })?;
        drop(copy);
        backup.folder(PLUGINS, &data_dir.join(PLUGINS), 0, &mut Backup::file)?;
        backup.folder(SKILLS, &data_dir.join(SKILLS), MAX_DEPTH, &mut Backup::file)?;
        backup.end()
    }
}

/// Puts a file into a backup, under a path.
type Take<'a, W> = &'a mut dyn FnMut(&mut Backup<W>, &str, &Path) -> Result<(), Problem>;

struct Backup<W: Write> {
    tar: Builder<GzEncoder<W>>,
    at: Timestamp,
    manifest: Manifest,
}

impl<W: Write> Backup<W> {
    fn text(&mut self, path: &str, text: &[u8]) -> Result<(), Problem> {
        let header = self.header(path, text.len() as u64).map_err(unwritten)?;
        self.append(path, &header, text).map_err(unwritten)
    }

    fn file(&mut self, path: &str, from: &Path) -> Result<(), Problem> {
        let of = |error| Problem::of(from, &error);
        let file = File::open(from).map_err(of)?;
        let size = file.metadata().map_err(of)?.len();
        match self.header(path, size) {
            Ok(header) => self.append(path, &header, file.take(size)).map_err(of),
            Err(_) => {
                self.leave_out(path, "its path is too long");
                Ok(())
            }
        }
    }

    /// A file that a plugin may write to, or remove, meanwhile: by a copy that is made first.
    fn changing(&mut self, path: &str, from: &Path, still: &Path) -> Result<(), Problem> {
        let stamp = || fs::metadata(from).and_then(|found| Ok((found.len(), found.modified()?)));
        for _ in 0..TRIES {
            let copied = stamp().and_then(|before| fs::copy(from, still).map(|_| before));
            match copied {
                Ok(before) if stamp().is_ok_and(|after| after == before) => return self.file(path, still),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Problem::of(from, &error));
                }
                _ => {}
            }
        }
        if from.exists() {
            self.leave_out(path, "it does not stop changing");
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &str, why: &str) {
        self.manifest.left_out.push(format!("{path}: {why}"));
    }

    /// The files of a folder, and of so many levels of folders in it. What is no file is left out, and said.
    fn folder(&mut self, path: &str, from: &Path, depth: usize, take: Take<'_, W>) -> Result<(), Problem> {
        let entries = match fs::read_dir(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.and_then(|entries| entries.collect::<io::Result<Vec<_>>>()),
        };
        let mut entries = entries.map_err(|error| Problem::of(from, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, from) = (entry.file_name(), entry.path());
            let kind = entry.file_type().map_err(|error| Problem::of(&from, &error))?;
            let path = format!("{path}/{}", name.to_string_lossy());
            match kind {
                _ if name.to_str().is_none() => self.leave_out(&path, "its name is no UTF-8"),
                _ if path.len() > MAX_PATH => self.leave_out(&path, "its path is too long"),
                // Half of a file that is being replaced.
                _ if path.ends_with(".partial") => {}
                _ if kind.is_file() => take(self, &path, &from)?,
                _ if kind.is_dir() && depth > 0 => self.folder(&path, &from, depth - 1, take)?,
                _ => self.leave_out(&path, "it is no file"),
            }
        }
        Ok(())
    }

    fn header(&self, path: &str, size: u64) -> io::Result<TarHeader> {
        let mut header = TarHeader::new_ustar();
        header.set_path(path)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(size);
        header.set_mtime(self.at.as_second().try_into().unwrap_or_default());
        header.set_cksum();
        Ok(header)
    }

    fn append(&mut self, path: &str, header: &TarHeader, from: impl Read) -> io::Result<()> {
        let mut hashing = Hashing::new(from);
        self.tar.append(header, &mut hashing)?;
        let (size, sha256) = hashing.end();
        if size != header.size()? {
            return Err(io::Error::other("it became shorter while it was read; try again"));
        }
        self.manifest.entries.push(Entry { path: path.to_owned(), size, sha256 });
        Ok(())
    }

    fn end(mut self) -> Result<(), Problem> {
        let manifest = serde_json::to_vec(&self.manifest).map_err(unwritten)?;
        self.text(MANIFEST, &manifest)?;
        let ended = self.tar.into_inner().and_then(GzEncoder::finish).and_then(|mut to| to.flush());
        ended.map_err(unwritten)
    }
}

fn unwritten(error: impl Into<io::Error>) -> Problem {
    Problem::new(format!("the backup can't be written: {}", error.into()))
}

/// What is read, hashed on the way.
pub(super) struct Hashing<R> {
    from: R,
    sha256: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, sha256: Sha256::new(), size: 0 }
    }

    /// How many bytes were read, and their SHA-256 in hexadecimal digits.
    pub(super) fn end(self) -> (u64, String) {
        (self.size, hex(&self.sha256.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.sha256.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
