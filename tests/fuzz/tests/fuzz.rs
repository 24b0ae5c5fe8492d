//! Tries mutated inputs of the corpus on every parser for `FUZZ_SECONDS` (default: one and a half seconds each), and at most
//! `FUZZ_INPUTS` of them.
//! Without `FUZZ_SEED` the inputs are always the same. A failing input is shortened and left in `target/fuzz`.
//!
//! `cargo test --test fuzz -- contact` runs one target; `cargo test --test fuzz -- --input FILE contact` one input.

use std::fs;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fswake_fuzz_targets::mutate::{Random, changed, shortened};
use fswake_fuzz_targets::{ALL, Target};
use libtest_mimic::{Arguments, Failed, Trial};

/// Limit for one input, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

/// Suppresses the output of panics, because many inputs fail while one is being shortened.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn setting<N: FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, which is not a number")),
    )
}

/// The stored inputs of a target, by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{}: only {} inputs", folder.display(), files.len());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The message if a property does not hold.
fn problem(target: &Target, input: &[u8]) -> Option<String> {
    let begun = Instant::now();
    let caught = catch_unwind(AssertUnwindSafe(|| (target.check)(input))).err();
    let text = caught.map(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or_else(|_| "a panic".into(), |text| (*text).to_owned()),
    });
    let took = begun.elapsed();
    text.or_else(|| (took > LONGEST).then(|| format!("it took {took:?}")))
}

fn failed(target: &Target, input: &[u8], problem_of_it: &str) -> Failed {
    IS_QUIET.store(true, Ordering::Relaxed);
    let shortest = shortened(input, |input| problem(target, input).is_some());
    IS_QUIET.store(false, Ordering::Relaxed);
    let name = shortest.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = root().join("target/fuzz").join(target.name);
    let file = folder.join(format!("{name:016x}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(&file, &shortest).unwrap();
    Failed::from(format!(
        "{problem_of_it}\ninput: {:?}\nkept in {}",
        String::from_utf8_lossy(&shortest),
        file.display()
    ))
}

fn run(target: &Target) -> Result<(), Failed> {
    let corpus = corpus(target.name);
    for input in &corpus {
        if let Some(problem) = problem(target, input) {
            return Err(failed(target, input, &problem));
        }
    }
    let limit = Duration::from_secs_f64(setting("FUZZ_SECONDS").unwrap_or(1.5));
    let seed: f64 = setting("FUZZ_SEED").unwrap_or_default();
    let mut random = Random(seed.to_bits());
    let (begun, mut tried) = (Instant::now(), corpus.len());
    let most = setting("FUZZ_INPUTS").unwrap_or(usize::MAX);
    while begun.elapsed() < limit && tried < most {
        for _ in 0..16 {
            let input = changed(&corpus, target.words, &mut random);
            if let Some(problem) = problem(target, &input) {
                return Err(failed(target, &input, &problem));
            }
            tried += 1;
        }
    }
    if setting::<f64>("FUZZ_SECONDS").is_some() {
        println!("{}: {tried} inputs", target.name);
    }
    Ok(())
}

fn main() -> ExitCode {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !IS_QUIET.load(Ordering::Relaxed) {
            usual(panic);
        }
    }));
    let mut words: Vec<_> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "--input") {
        let file = words.drain(at..at + 2).nth(1).unwrap();
        let input = fs::read(&file).unwrap();
        for target in ALL.iter().filter(|target| words.iter().any(|word| word == target.name)) {
            (target.check)(&input);
        }
        return ExitCode::SUCCESS;
    }
    let trials = ALL.iter().map(|target| Trial::test(target.name, || run(target)));
    libtest_mimic::run(&Arguments::from_iter(words), trials.collect()).exit_code()
}
