use std::os::unix::fs::symlink;
use std::path::PathBuf;

use prx_base::clock::Clock;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::follow::Follower;
use super::*;

struct Place {
    dir: tempfile::TempDir,
    folder: SkillFolder,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = SkillFolder::of(dir.path());
        folder.make().unwrap();
        Self { dir, folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn skill(&self, name: &str) {
        self.write(
            &format!("{name}/SKILL.md"),
            format!("---\nname: {name}\ndescription: Does {name}.\n---\nDo {name}.\n"),
        );
    }

    fn fifo(&self, path: &str) {
        mknodat(CWD, self.path(path), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    async fn refused(&self, path: &str) -> String {
        self.folder.file("one", path).await.unwrap_err().to_string()
    }
}

fn names(found: &Found) -> Vec<&str> {
    found.skills.iter().map(|skill| skill.name.as_str()).collect()
}

#[test]
fn each_folder_is_a_skill_or_says_why_not() {
    let place = Place::new();
    place.skill("one");
    place.skill("two");
    place.write("notes.txt", "no folder");
    place.write(".hidden/SKILL.md", "hidden");
    place.write("empty/notes.txt", "");
    place.write("lower/skill.md", "---\n---\n");
    place.write("other/SKILL.md", "---\nname: another\ndescription: D\n---\n");
    place.write("binary/SKILL.md", [0xff, 0xfe, 0x00]);
    place.write("huge/SKILL.md", " ".repeat(300 << 10));
    fs::create_dir_all(place.path("folder/SKILL.md")).unwrap();
    fs::create_dir_all(place.path("fifo")).unwrap();
    place.fifo("fifo/SKILL.md");
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("SKILL.md"), "---\nname: link\ndescription: D\n---\n").unwrap();
    symlink(&outside, place.path("link")).unwrap();
    fs::create_dir(place.path("linked-file")).unwrap();
    symlink(outside.join("SKILL.md"), place.path("linked-file/SKILL.md")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    symlink("notes.txt", place.path("text")).unwrap();
    // A link within the folder leads to a folder of another name.
    symlink("one", place.path("uno")).unwrap();

    let found = place.folder.scan();
    assert_eq!((names(&found), &found.unreadable), (vec!["one", "two"], &None));
    let expected = [
        ("binary", "its SKILL.md is no text in UTF-8"),
        ("dangling", "its folder is not there"),
        ("empty", "its SKILL.md is not there"),
        ("fifo", "its SKILL.md is no regular file"),
        ("folder", "its SKILL.md is a folder"),
        ("huge", "its SKILL.md has 307200 bytes; no more than 64 KiB are read"),
        ("link", "its folder leads out of the folder"),
        ("linked-file", "its SKILL.md leads out of the folder"),
        ("lower", "its skill.md has to be called SKILL.md"),
        ("other", "SKILL.md: its name is another, and its folder is called other: both have to be the same"),
        ("text", "it is no folder"),
        ("uno", "SKILL.md: its name is one, and its folder is called uno: both have to be the same"),
    ];
    let broken: Vec<(&str, &str)> = found.broken.iter().map(|(name, why)| (&**name, &**why)).collect();
    assert_eq!(broken, expected);
}

#[test]
fn there_may_be_only_so_many() {
    let place = Place::new();
    for n in 0..MAX_SKILLS + 3 {
        place.skill(&format!("s{n:03}"));
    }
    let found = place.folder.scan();
    assert_eq!(found.skills.len(), MAX_SKILLS);
    let [(name, why)] = &found.broken[..] else { panic!("{:?}", found.broken) };
    assert!(
        name == "s256" && why.contains("256 skills are the most") && why.contains("3 in all"),
        "{name}: {why}"
    );
    fs::remove_dir_all(place.folder.path()).unwrap();
    assert_eq!(place.folder.scan().unreadable.unwrap(), "the folder is not there");
}

#[tokio::test]
async fn files_are_read_within_the_folder_alone() {
    let place = Place::new();
    place.skill("one");
    place.skill("two");
    place.write("one/references/guide.md", "Guide.");
    place.write("one/.env", "KEY=1");
    place.write("one/assets/picture.png", [0x89, b'P', 0xff]);
    place.write("one/big.txt", " ".repeat(256 << 10));
    place.write("one/bigger.txt", " ".repeat((256 << 10) + 1));
    place.fifo("one/pipe");
    symlink("references/guide.md", place.path("one/guide.md")).unwrap();
    symlink("../two/SKILL.md", place.path("one/other.md")).unwrap();
    symlink("/etc", place.path("one/etc")).unwrap();
    symlink("loop", place.path("one/loop")).unwrap();
    symlink(".", place.path("one/here")).unwrap();

    for path in
        ["references/guide.md", "./references/guide.md", "references/../references/guide.md", "guide.md"]
    {
        assert_eq!(place.folder.file("one", path).await.unwrap(), "Guide.", "{path}");
    }
    assert_eq!(place.folder.file("one", "big.txt").await.unwrap().len(), 256 << 10);
    for (path, words) in [
        ("", "is wanted"),
        (".env", "hidden"),
        ("nothing.md", "\"nothing.md\" is not there"),
        ("guide.md/x", "is not there"),
        ("references", "is a folder"),
        ("pipe", "is no regular file"),
        ("assets/picture.png", "is no text in UTF-8"),
        ("bigger.txt", "has 262145 bytes; no more than 256 KiB are read"),
        ("../two/SKILL.md", "leads out of the folder"),
        ("references/../../two/SKILL.md", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("etc/passwd", "leads out of the folder"),
        ("other.md", "leads out of the folder"),
        ("loop", "can't be read"),
        ("a\0b", "can't be read"),
        (&"a/".repeat(20), "16 parts"),
        (&"a".repeat(2000), "1024 bytes"),
    ] {
        let why = place.refused(path).await;
        assert!(why.contains(words), "{path:?}: {why}");
    }
    let (skill, instructions) = place.folder.skill("one").await.unwrap();
    assert_eq!((&*skill.name, &*instructions), ("one", "Do one."));
    let listed = place.folder.beside("one").await.unwrap().to_string();
    assert_eq!(
        listed,
        "- assets/picture.png (3 bytes)\n- big.txt (262144 bytes)\n- bigger.txt (262145 bytes)\n- guide.md (6 bytes)\n\
         - references/guide.md (6 bytes)\n"
    );
}

#[tokio::test]
async fn a_listing_ends_somewhere() {
    let place = Place::new();
    place.skill("one");
    place.write("one/a/b/c/d/e.md", "too deep");
    for n in 0..150 {
        place.write(&format!("one/f{n:03}.md"), "x");
    }
    let listing = place.folder.beside("one").await.unwrap();
    assert_eq!((listing.files.len(), listing.more), (100, true));
    assert!(listing.to_string().ends_with("- and more\n"));
}

#[tokio::test]
async fn what_changes_is_noticed() {
    let place = Place::new();
    let mut follower = Follower::new(place.folder.clone(), Clock::system());
    assert_eq!(follower.scan().await, Found::default());
    place.skill("one");
    follower.changed().await;
    assert_eq!(names(&follower.scan().await), ["one"]);
    place.write("one/SKILL.md", "broken");
    follower.changed().await;
    assert_eq!(follower.scan().await.broken.len(), 1);
    fs::rename(place.path("one"), place.path("two")).unwrap();
    place.skill("two");
    follower.changed().await;
    assert_eq!(names(&follower.scan().await), ["two"]);
    fs::remove_dir_all(place.path("two")).unwrap();
    follower.changed().await;
    assert_eq!(follower.scan().await, Found::default());
}
