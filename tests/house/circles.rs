//! No circles: no two files depend on each other, directly or through others.
//!
//! A file depends on another if it names something that is defined there: a type, function, constant, trait or macro.
//! Names are taken from `use` lines and from paths in the code (`crate::`, `super::`, `self::`, a module's own name).
//! Each is followed through re-exports to the file that defines it. So these are not dependencies:
//!
//! - `mod child;`, and `pub use child::Item;` in a parent that does not use `Item` itself: these only list contents;
//! - `super::Item` in a child, if the parent only re-exports what another child defines;
//! - a method call on a value, which names nothing. So the `impl` of one type may be spread over several files.
//!
//! Unit tests do not count. [`Tree::circles`] finds every group of files that depend on each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::names::Source;

/// A file, as its path from the repository's root.
type File = String;

/// All files by module. A key is `crate` followed by module names.
pub struct Tree {
    files: BTreeMap<Vec<String>, (File, Source)>,
}

/// The names of our crates as used in paths, and the directories of their modules.
const CRATES: [(&str, &str); 2] = [("fswake", "src"), ("fswake_core", "core/src")];

impl Tree {
    /// Builds the tree from the files' paths and texts.
    pub fn new(texts: impl IntoIterator<Item = (File, String)>) -> Self {
        let files = texts
            .into_iter()
            .filter_map(|(file, text)| Some((module_of(&file)?, (file, Source::read(&text)))));
        Self { files: files.collect() }
    }

    /// Every group of files that depend on each other in a circle, with the names that connect them.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let ties = self.ties();
        let reach: BTreeMap<&File, BTreeSet<&File>> = ties.keys().map(|file| (file, reachable(&ties, file))).collect();
        let mut circles = BTreeMap::new();
        for (file, reached) in reach.iter().filter(|(file, reached)| reached.contains(*file)) {
            let group: BTreeSet<&File> = reached
                .iter()
                .copied()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(file)))
                .collect();
            let inside = ties.iter().filter(|(from, _)| group.contains(from));
            let lines = inside.flat_map(|(from, tied)| {
                let tied = tied.iter().filter(|(to, _)| group.contains(to));
                tied.map(move |(to, names)| format!("{from} -> {to}: {}", join(names)))
            });
            circles.insert(group.clone(), lines.collect());
        }
        circles.into_values().collect()
    }

    /// Which file depends on which, and through which names.
    fn ties(&self) -> BTreeMap<File, BTreeMap<File, BTreeSet<String>>> {
        let mut ties: BTreeMap<File, BTreeMap<File, BTreeSet<String>>> = BTreeMap::new();
        for (module, (file, source)) in &self.files {
            let named = source
                .uses
                .iter()
                .filter(|used| !used.is_public || source.words.contains(&used.name))
                .flat_map(|used| match used.name.as_str() {
                    "*" => {
                        let words = source.words.iter();
                        words
                            .map(|word| [&used.path[..], std::slice::from_ref(word)].concat())
                            .collect()
                    }
                    _ => vec![used.path.clone()],
                });
            for path in named.chain(source.paths.iter().cloned()) {
                if let Some((to, name)) = self.defines(module, &path, 0).filter(|(to, _)| to != file) {
                    ties.entry(file.clone())
                        .or_default()
                        .entry(to)
                        .or_default()
                        .insert(name);
                }
            }
        }
        ties
    }

    /// The file that defines the target of a path in `module`, and the target's name. `None` for a whole module and for
    /// items of other crates.
    fn defines(&self, module: &[String], path: &[String], depth: usize) -> Option<(File, String)> {
        // If two modules re-export a name from each other, it has no definition.
        if depth > 16 {
            return None;
        }
        let (mut at, mut rest) = self.start(module, path, depth)?;
        while let Some((name, after)) = rest.split_first() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if self.files.contains_key(&child) {
                (at, rest) = (child, after);
                continue;
            }
            let (file, source) = self.files.get(&at)?;
            if source.items.contains(name) {
                return Some((file.clone(), name.clone()));
            }
            let named = source.uses.iter().filter(|used| used.name == *name);
            let any = source.uses.iter().filter(|used| used.name == "*");
            return named
                .map(|used| [&used.path[..], after].concat())
                .chain(any.map(|used| [&used.path[..], rest].concat()))
                .find_map(|path| self.defines(&at, &path, depth + 1));
        }
        None
    }

    /// The module where a path starts, and the rest of the path.
    fn start<'a>(&self, module: &[String], path: &'a [String], depth: usize) -> Option<(Vec<String>, &'a [String])> {
        let (first, rest) = path.split_first()?;
        if let Some((krate, _)) = CRATES.iter().find(|(name, _)| name == first) {
            return Some((vec![(*krate).to_owned()], rest));
        }
        match first.as_str() {
            "crate" => Some((module[..1].to_vec(), rest)),
            "self" => Some((module.to_vec(), rest)),
            "super" => {
                let above = path.iter().take_while(|word| *word == "super").count();
                let left = module.len().checked_sub(above).filter(|left| *left > 0)?;
                Some((module[..left].to_vec(), &path[above..]))
            }
            // The name belongs to this file: a module below it, or something that a `use` imports.
            name => {
                let child = [module, &[name.to_owned()]].concat();
                if self.files.contains_key(&child) {
                    return Some((child, rest));
                }
                let (_, source) = self.files.get(module)?;
                let used = source.uses.iter().find(|used| used.name == name && used.path != path)?;
                self.module(module, &used.path, depth + 1).map(|at| (at, rest))
            }
        }
    }

    /// The module that a path leads to, if it leads to a module.
    fn module(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        if depth > 16 {
            return None;
        }
        let (mut at, rest) = self.start(module, path, depth)?;
        for name in rest {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            at = if self.files.contains_key(&child) {
                child
            } else {
                let (_, source) = self.files.get(&at)?;
                let used = source.uses.iter().find(|used| used.name == *name)?;
                self.module(&at, &used.path, depth + 1)?
            };
        }
        Some(at)
    }
}

fn reachable<'a>(ties: &'a BTreeMap<File, BTreeMap<File, BTreeSet<String>>>, from: &File) -> BTreeSet<&'a File> {
    let (mut reached, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(file) = left.pop() {
        for next in ties.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next) {
                left.push(next);
            }
        }
    }
    reached
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// `src/push/apns/mod.rs` is `fswake::push::apns`. `main.rs` is a separate crate that no other file can name.
fn module_of(file: &str) -> Option<Vec<String>> {
    let (krate, rest) = CRATES.iter().find_map(|(krate, folder)| {
        let rest = file.strip_prefix(folder)?.strip_prefix('/')?;
        Some((*krate, rest))
    })?;
    let path = Path::new(rest).with_extension("");
    let mut module = vec![krate.to_owned()];
    module.extend(path.iter().map(|part| part.to_string_lossy().into_owned()));
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        module.pop();
    }
    Some(module)
}

#[test]
fn no_two_files_depend_on_each_other() {
    let root = super::root();
    let files = [super::rust_files("src"), super::rust_files("core/src")].concat();
    let texts = files.iter().map(|file| {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(file).unwrap())
    });
    let tree = Tree::new(texts);
    assert!(
        tree.ties().values().map(BTreeMap::len).sum::<usize>() > 500,
        "imports were not parsed"
    );
    let circles = tree.circles();
    let shown: Vec<_> = circles.iter().map(|circle| circle.join("\n  ")).collect();
    assert!(shown.is_empty(), "{} circles:\n  {}", shown.len(), shown.join("\n\n  "));
}

fn circles_of(texts: &[(&str, &str)]) -> Vec<Vec<String>> {
    let owned = texts
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    Tree::new(owned).circles()
}

#[test]
fn circle_is_found_with_every_spelling_of_names() {
    let a = ("src/a.rs", "pub struct A; fn f() { crate::b::g(); }");
    for b in [
        "use crate::a::A; pub fn g() {}",
        "use super::a::{A as Other}; pub fn g() {}",
        "use crate::a; pub fn g() -> a::A {}",
        "use crate::{a::{self}}; pub fn g() -> a::A {}",
        "use crate::hall::A; pub fn g() {}",
        "use crate::hall::*; pub fn g() -> A {}",
        "pub fn g() { println!(\"{}\", crate::a::A) }",
        "pub use crate::a::A; pub fn g() -> A {}",
    ] {
        let hall = ("src/hall.rs", "pub use crate::a::A;");
        let found = circles_of(&[a, ("src/b.rs", b), hall]);
        assert_eq!(found.len(), 1, "{b}: {found:?}");
    }
    let circle = &circles_of(&[a, ("src/b.rs", "use crate::a::A; pub fn g() {}")])[0];
    assert_eq!(circle[..], ["src/a.rs -> src/b.rs: g", "src/b.rs -> src/a.rs: A"]);
}

#[test]
fn parent_and_child_are_a_circle_only_if_both_use_what_the_other_defines() {
    let child = ("src/room/child.rs", "use super::Shared; pub struct Child;");
    let both = "mod child; use child::Child; pub struct Shared; fn f(_: Child) {}";
    assert_eq!(circles_of(&[("src/room/mod.rs", both), child]).len(), 1);
    for only in [
        "mod child; pub use child::Child; pub struct Shared;",
        "mod child; mod shared; pub use shared::Shared; use child::Child; fn f(_: Child) {}",
        "mod child; pub struct Shared; #[cfg(test)] mod tests { use super::child::Child; }",
        "mod child; pub struct Shared; // child::Child\nconst TEXT: &str = \"child::Child\";",
    ] {
        let shared = ("src/room/shared.rs", "pub struct Shared;");
        assert!(
            circles_of(&[("src/room/mod.rs", only), child, shared]).is_empty(),
            "{only}"
        );
    }
}
