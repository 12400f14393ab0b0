//! docs/protocol.md names files and tests, and tests name its rows: all of them exist.
//!
//! Reads the document's tables by their headings: `row`, `file`, `test`, `method`.

use std::fs;
use std::path::{Path, PathBuf};

/// One line of a table.
#[derive(Debug)]
struct Row<'a> {
    headings: Vec<&'a str>,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The cell under a heading, if its table has that.
    fn cell(&self, heading: &str) -> Option<&'a str> {
        let index = self.headings.iter().position(|h| *h == heading)?;
        self.cells.get(index).copied()
    }

    /// The row as messages name it.
    fn name(&self) -> &'a str {
        self.cells.first().copied().unwrap_or_default()
    }

    /// The source files under `file`.
    fn files(&self) -> Vec<PathBuf> {
        let cell = self.cell("file").unwrap_or_default();
        items(cell)
            .map(|item| root().join("src").join(item))
            .collect()
    }

    /// The tests under `test`: where each stands, and its name where one is said.
    ///
    /// `machine: \`a\`, \`b\`; proto/frame.rs` are two tests of tests/machine.rs and some in src/proto/frame.rs.
    /// What has no place in front of it stands in the row's own files, or anywhere if it has none.
    fn tests(&self) -> Vec<(Vec<PathBuf>, Option<&'a str>)> {
        let mut place = match self.cell("file") {
            Some(_) => self.files(),
            None => [files_in("src"), files_in("tests")].concat(),
        };
        let cell = self.cell("test").unwrap_or_default();
        let test = |item: &'a str| {
            let (before, name) = match item.split_once('`') {
                Some((before, name)) => (before, Some(name.trim_end_matches('`'))),
                None => (item, None),
            };
            let before = before.trim_end_matches([':', ' ']);
            if !before.is_empty() {
                place = sources_of(before);
            }
            (place.clone(), name)
        };
        items(cell).map(test).collect()
    }
}

/// What stands between commas and semicolons, without remarks like (this).
fn items(cell: &str) -> impl Iterator<Item = &str> {
    let items = cell.split([',', ';']).map(str::trim);
    items
        .filter_map(|item| item.split(" (").next())
        .filter(|item| !item.is_empty())
}

/// The files of a place: a source file, or an integration test with its folder.
fn sources_of(place: &str) -> Vec<PathBuf> {
    if place.ends_with(".rs") {
        return vec![root().join("src").join(place)];
    }
    let file = root().join(format!("tests/{place}.rs"));
    [vec![file], files_in(&format!("tests/{place}"))].concat()
}

/// The files of a folder and of those in it; none where there is no such folder.
fn files_in(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).into_iter().flatten() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("docs/protocol.md")).unwrap()
}

/// The lines of all tables.
fn rows(document: &str) -> Vec<Row<'_>> {
    let lines: Vec<&str> = document.lines().collect();
    let mut headings = Vec::new();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(cells) = cells(line) else {
            continue;
        };
        if lines
            .get(at + 1)
            .is_some_and(|next| next.starts_with("|---"))
        {
            headings = cells;
        } else if !line.starts_with("|---") {
            let headings = headings.clone();
            found.push(Row { headings, cells });
        }
    }
    found
}

/// The cells of a line, if it is one of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// Whether a function of this name stands in one of the files.
fn has_function(files: &[PathBuf], name: &str) -> bool {
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .into_iter()
        .any(|text| text.contains(&format!("fn {name}(")))
}

#[test]
fn every_file_of_the_tables_exists() {
    let document = document();
    for row in rows(&document) {
        for file in row.files() {
            assert!(file.exists(), "{}: no {}", row.name(), file.display());
        }
        for (files, _) in row.tests() {
            let exists = files.iter().any(|file| file.exists());
            assert!(exists, "{}: no {files:?}", row.name());
        }
    }
}

#[test]
fn every_test_of_the_tables_stands_where_they_say() {
    let document = document();
    let mut count = 0;
    for row in rows(&document) {
        for (files, name) in row.tests() {
            let Some(name) = name else {
                continue;
            };
            count += 1;
            assert!(has_function(&files, name), "{}: no {name}", row.name());
        }
    }
    assert!(count > 150, "only {count} tests were found");
}

#[test]
fn every_method_of_the_tables_exists() {
    let document = document();
    let methods = rows(&document)
        .into_iter()
        .filter_map(|row| row.cell("method"));
    let file = [root().join("src/service/conversation.rs")];
    for method in methods {
        let name = method.trim_matches('`');
        assert!(has_function(&file, name), "no method {name}");
    }
}

/// The tests of a file, each with the comment in front of it.
fn commented_tests(text: &str) -> Vec<(&str, String)> {
    let mut comment = String::new();
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        match line.strip_prefix("///") {
            Some(words) => comment.push_str(words),
            None if line == "#[test]" => is_test = true,
            None => {
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                    let name = rest.split('(').next().unwrap_or_default();
                    found.push((name, std::mem::take(&mut comment)));
                }
                comment.clear();
                is_test = false;
            }
        }
    }
    found
}

/// The rows that a comment cites: numbers behind the document's name.
fn cited(comment: &str) -> impl Iterator<Item = &str> {
    let behind = comment
        .split_once("protocol.md")
        .map_or("", |(_, behind)| behind);
    behind
        .split([' ', ','])
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[test]
fn a_conformity_test_and_its_row_name_each_other() {
    let document = document();
    let rows = rows(&document);
    for file in sources_of("conformity") {
        let text = fs::read_to_string(&file).unwrap();
        for (name, comment) in commented_tests(&text) {
            let numbers: Vec<_> = cited(&comment).collect();
            assert!(!numbers.is_empty(), "{name} cites no row");
            for number in numbers {
                let row = rows.iter().find(|row| row.cell("row") == Some(number));
                let row = row.unwrap_or_else(|| panic!("{name}: there is no row {number}"));
                let named = row.tests().iter().any(|(_, test)| *test == Some(name));
                assert!(named, "row {number} does not name {name}");
            }
        }
    }
}

#[test]
fn the_reader_of_this_test_tells_places_and_names() {
    let text = "| row | file | test |\n|---|---|---|\n\
                | 1.1 | a.rs (`f`), b/ | `x`, machine: `y`, `z`; c/d.rs (all) |\n";
    let rows = rows(text);
    let tests: Vec<_> = rows[0]
        .tests()
        .into_iter()
        .map(|(files, name)| (files[0].clone(), name))
        .collect();
    let expected = [
        (root().join("src/a.rs"), Some("x")),
        (root().join("tests/machine.rs"), Some("y")),
        (root().join("tests/machine.rs"), Some("z")),
        (root().join("src/c/d.rs"), None),
    ];
    assert_eq!((rows.len(), tests), (1, expected.to_vec()));
    let numbers: Vec<_> = cited("C706 12.6; protocol.md 1.1, 10.2 and 9.5.").collect();
    assert_eq!(numbers, ["1.1", "10.2", "9.5"]);
}
