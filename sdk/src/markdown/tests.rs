use super::*;

#[test]
fn x() {
    let text = "See https://example.org/blob/main/src/requests/__init__.py and src/__init__.py";
    assert_eq!(shielded(text).chars().map(restored).collect::<String>(), text);
}
