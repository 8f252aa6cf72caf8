use super::{FilePart, Files, MAX_REQUEST_BYTES, MAX_UNNAMED_TEXT_BYTES};
use crate::provider::{Message, UserMessage};
use crate::testing::give;
use crate::types::Attachment;

fn said(attachments: Vec<Attachment>) -> Message {
    Message::User(UserMessage { text: String::new(), attachments })
}

#[test]
fn a_file_is_shown_as_what_it_is() {
    let named = |mime: &str, bytes: &[u8]| Attachment { name: Some("a.x".to_owned()), ..give(mime, bytes) };
    let image = named("image/png", b"\x89PNG");
    let pdf = named("application/pdf", b"%PDF");
    let text = named("text/plain; charset=utf-8", "Grüße".as_bytes());
    let broken = named("text/plain", b"\xff");
    let film = named("video/mp4", b"\0ftyp");
    let gone = Attachment { blob: "blob_gone".to_owned(), ..named("image/png", b"") };
    let all = [image, pdf, text, broken, film, gone];
    let mut files = Files::read(&[said(all.to_vec())]);
    let shown: Vec<_> = all.iter().map(|file| files.take(file).unwrap()).collect();
    let line = |line: &str| FilePart::Text(line.to_owned());
    let expected = [
        FilePart::Image { mime: "image/png".to_owned(), data: "iVBORw==".to_owned() },
        FilePart::Pdf { name: "a.x".to_owned(), data: "JVBERg==".to_owned() },
        line("[a file, a.x]\nGrüße"),
        line("[a file, a.x, 1 bytes, text/plain: not in UTF-8]"),
        line("[a file, a.x, 5 bytes, video/mp4: of a kind that cannot be shown]"),
        line("[a file, a.x, 0 bytes, image/png: no longer kept]"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(files.take(&all[0]), None, "once is enough");
}

#[test]
fn a_small_text_is_shown_whatever_its_kind_is_called() {
    let shown = |mime: &str, bytes: &[u8]| {
        let file = Attachment { name: Some("main.py".to_owned()), ..give(mime, bytes) };
        match Files::read_texts(&[said(vec![file.clone()])]).take(&file) {
            Some(FilePart::Text(line)) => line,
            other => panic!("{other:?}"),
        }
    };
    for mime in ["application/octet-stream", "application/x-sh", "video/mp2t", "model/x", ""] {
        assert_eq!(shown(mime, "print('Grüße')".as_bytes()), "[a file, main.py]\nprint('Grüße')");
        for bytes in [&b"a\0b"[..], b"\xff\xfea", &vec![b'x'; MAX_UNNAMED_TEXT_BYTES as usize + 1]] {
            assert!(shown(mime, bytes).ends_with("of a kind that cannot be shown]"));
        }
    }
}

#[test]
fn a_model_that_reads_text_only_is_told_of_the_rest() {
    let (image, text) = (give("image/png", b"\x89PNG"), give("text/plain", b"Hi"));
    let mut files = Files::read_texts(&[said(vec![image.clone(), text.clone()])]);
    let told = files.take(&image);
    assert!(matches!(&told, Some(FilePart::Text(line)) if line.contains("4 bytes, image/png")), "{told:?}");
    assert!(matches!(files.take(&text), Some(FilePart::Text(line)) if line.ends_with("\nHi")));
}

#[test]
fn the_latest_files_have_the_room() {
    let half = vec![b'x'; MAX_REQUEST_BYTES as usize / 2 + 1];
    let (first, second) = (give("image/png", half.clone()), give("image/png", half));
    let mut files = Files::read(&[said(vec![first.clone()]), said(vec![second.clone()])]);
    assert!(matches!(files.take(&second), Some(FilePart::Image { .. })));
    assert!(matches!(files.take(&first), Some(FilePart::Text(line)) if line.contains("too large")));
}
