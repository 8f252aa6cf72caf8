//! `prx backup` and `prx restore`

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::output::{Console, bytes, warn};
use super::paths::Paths;
use crate::backup::{self, Found, Problem, Restored, Source};
use prx_base::clock::Clock;
use prx_base::config::Overrides;
use prx_store::{Deed, Store};

#[derive(Debug, clap::Args)]
pub(super) struct BackUp {
    /// Where it goes. A backup that is there is replaced once the new one is verified; nothing else is
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// Move aside what is in the data directory, and a configuration that says something else
    #[arg(long)]
    force: bool,
}

/// A file that is being written beside its place. Gone, unless it is put there.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone where it was put in place.
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) async fn back_up(console: &Console, paths: &Paths, arguments: BackUp) -> Result<(), Failure> {
    let BackUp { file } = arguments;
    if file.exists() && backup::header(open(&file)?).is_err() {
        let file = file.display();
        return Err(Failure::new(format!("{file} is there, and is no backup; choose another name")));
    }
    let partial = Partial::beside(&file)?;
    if console.gateway.is_running().await? {
        let mut to = BufWriter::new(&partial.file);
        let write = |piece: &[u8]| to.write_all(piece).map_err(|error| unusable(&partial.path, &error));
        console.gateway.download("/api/v1/store/backup", write).await?;
        to.flush().map_err(|error| unusable(&partial.path, &error))?;
    } else if Store::exists(&paths.data_dir) {
        let store = Store::open(&paths.data_dir, Clock::system())?;
        let written = from_folder(&store, paths, &partial.file).await;
        store.close().await;
        written?;
    } else {
        return Err(Failure::new(format!("there is no store in {}", paths.data_dir.display())));
    }
    let found = partial.verified()?;
    let size = partial.put(&file)?;
    let Found { header, files, bytes: unpacked, left_out } = found;
    left_out.iter().for_each(|what| warn(&format!("not in the backup: {what}")));
    let done = json!({
        "file": file.display().to_string(), "size": size, "files": files, "unpacked_bytes": unpacked,
        "created_at": header.created_at.to_string(), "prx": header.prx, "left_out": left_out,
    });
    let file = file.display();
    let size = bytes(size);
    console.done(
        &done,
        &format!(
            "{file}: {size}, verified; files in it: {files}. Secrets are among them, and only you may read it"
        ),
    )
}

/// Writes a backup where no gateway runs.
async fn from_folder(store: &Store, paths: &Paths, to: &File) -> Result<(), Failure> {
    let at = Clock::system().now();
    let config = paths.file(Overrides::default()).read()?;
    store.record_audit(Deed::of_owner("store.backed_up", "", json!({}))).await?;
    let copy = store.copy().await?;
    let source = Source { data_dir: paths.data_dir.clone(), config, copy, at };
    Ok(source.write(BufWriter::new(to))?)
}

pub(super) async fn restore(console: &Console, paths: &Paths, arguments: Restore) -> Result<(), Failure> {
    let Restore { file, force } = arguments;
    let (data_dir, config) = (paths.data_dir.as_path(), paths.config.as_path());
    if console.gateway.is_running().await? {
        let data_dir = data_dir.display();
        return Err(Failure::new(format!(
            "a gateway runs on {data_dir}; stop it, or name another --data-dir"
        )));
    }
    // Nobody opens what is there until it is moved aside.
    let _held = Store::hold(data_dir)?;
    let backup = open(&file)?;
    let restore = backup::Restore { data_dir, config, force, at: Clock::system().now() };
    let mut faults = Vec::new();
    let restored = restore.run(backup, async |folder: &Path| {
        faults = faults_in(folder).await?;
        Ok(())
    });
    let restored =
        restored.await.map_err(|problem| Failure::new(format!("{}: {problem}", file.display())))?;
    faults.iter().for_each(|fault| warn(fault));
    let Restored { found, config, moved_aside } = restored;
    for path in &moved_aside {
        warn(&format!("what was there before is in {}", path.display()));
    }
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let config = config.map(|config| config.display().to_string());
    let created_at = found.header.created_at.to_string();
    let done = json!({
        "data_dir": data_dir.display().to_string(), "config": config, "files": found.files, "prx": found.header.prx,
        "created_at": created_at, "moved_aside": names(&moved_aside), "faults": faults,
    });
    let config = config.map_or(String::new(), |config| format!(" and {config}"));
    let (data_dir, files) = (data_dir.display(), found.files);
    let words =
        format!("restored as it was at {created_at}, and verified: {data_dir}{config}; files: {files}");
    console.done(&done, &words)
}

/// Opens the store in a folder, looks at everything in it, and tells what is wrong.
async fn faults_in(folder: &Path) -> Result<Vec<String>, Problem> {
    let store = Store::open_verified(folder, Clock::system()).map_err(Problem::in_store)?;
    let checked = store.check().await;
    store.close().await;
    Ok(checked.map_err(Problem::in_store)?.faults)
}

impl Partial {
    /// Begins a file, for its owner only, in place of one that an earlier attempt has left.
    fn beside(place: &Path) -> Result<Self, Failure> {
        let mut path = place.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let began = || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)
        };
        match began() {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    /// Reads it again, from the disk.
    fn verified(&self) -> Result<Found, Failure> {
        self.file.sync_all().map_err(|error| unusable(&self.path, &error))?;
        let read = backup::read(open(&self.path)?, |path, bytes| {
            io::copy(bytes, &mut io::sink()).map_err(|error| Problem::broken(path, &error)).map(drop)
        });
        read.map_err(|problem| {
            Failure::new(format!("what was written does not read as it should: {problem}"))
        })
    }

    /// Puts it in its place; returns how large it is.
    fn put(&self, place: &Path) -> Result<u64, Failure> {
        let put = || {
            fs::rename(&self.path, place)?;
            let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(self.file.metadata()?.len())
        };
        put().map_err(|error: io::Error| unusable(place, &error))
    }
}

fn open(file: &Path) -> Result<impl Read + use<>, Failure> {
    File::open(file).map_err(|error| unusable(file, &error))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("{path} can't be written: {error}; make room, or choose another place")
        }
        _ => format!("{path}: {error}"),
    })
}
