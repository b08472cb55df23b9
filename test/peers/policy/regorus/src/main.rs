//! Asks resource policies as the key brokers of two eras do.
//!
//! `cvm-policy-judge` reads cases from standard input, a JSON object a line:
//! `{"policy": "<file>", "data": {…}, "input": {…}}`. The last line of its output is a JSON list of what either engine
//! makes of each: `{"field": {"answer": "true"}, "main": {"answer": "error", "words": "…"}}`. Lines before it are
//! warnings, which regorus 0.2.8 prints on its own.
//!
//! `cvm-policy-judge time <rounds>` reads the cases in the same way, asks them by turns, and lists for each the
//! nanoseconds of every round.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Case {
    policy: String,
    data: serde_json::Value,
    input: serde_json::Value,
}

/// A case as an engine wants it.
struct Request {
    policy: String,
    data: String,
    input: String,
}

#[derive(Serialize)]
struct Answer {
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

#[derive(Serialize)]
struct Answers {
    field: Answer,
    main: Answer,
}

/// Nanoseconds by round.
#[derive(Default, Serialize)]
struct Times {
    /// A fresh engine that reads the policy, the data and the input.
    load: Vec<u64>,
    /// Its first question; an engine prepares itself for questions at the first one.
    first: Vec<u64>,
    /// The same question again, of the same engine.
    again: Vec<u64>,
}

#[derive(Default, Serialize)]
struct BothTimes {
    field: Times,
    main: Times,
}

const RULE: &str = "data.policy.allow";

/// What both versions of the crate name alike: an engine with a request in it, as a key broker makes one for each.
macro_rules! load {
    ($engine:ident) => {
        pub fn load(request: &Request) -> Result<$engine::Engine> {
            let mut engine = $engine::Engine::new();
            engine.add_policy("policy.rego".to_string(), request.policy.clone())?;
            engine.add_data($engine::Value::from_json_str(&request.data)?)?;
            engine.set_input($engine::Value::from_json_str(&request.input)?);
            Ok(engine)
        }
    };
}

/// Trustee v0.14 to v0.16: a boolean, or an error.
mod field {
    use super::*;
    load!(regorus_field);

    pub fn ask(engine: &mut regorus_field::Engine) -> Result<&'static str> {
        Ok(match engine.eval_bool_query(RULE.to_string(), false)? {
            true => "true",
            false => "false",
        })
    }
}

/// Trustee's newest sources: what is no boolean counts as a denial, and is told apart here.
mod main_branch {
    use super::*;
    load!(regorus_main);

    pub fn ask(engine: &mut regorus_main::Engine) -> Result<&'static str> {
        Ok(match engine.eval_rule(RULE.to_string())? {
            regorus_main::Value::Bool(true) => "true",
            regorus_main::Value::Bool(false) => "false",
            regorus_main::Value::Undefined => "undefined",
            _ => "other",
        })
    }
}

fn answer(asked: Result<&'static str>) -> Answer {
    match asked {
        Ok(answer) => Answer {
            answer,
            words: None,
        },
        Err(error) => Answer {
            answer: "error",
            words: Some(format!("{error:#}")),
        },
    }
}

fn nanoseconds(since: Instant) -> u64 {
    since.elapsed().as_nanos() as u64
}

macro_rules! time {
    ($era:ident, $request:expr, $times:expr) => {{
        let start = Instant::now();
        let mut engine = $era::load($request)?;
        $times.load.push(nanoseconds(start));
        let start = Instant::now();
        let first = $era::ask(&mut engine)?;
        $times.first.push(nanoseconds(start));
        let start = Instant::now();
        let again = $era::ask(&mut engine)?;
        $times.again.push(nanoseconds(start));
        ensure!(
            first == "true" && again == "true",
            "only requests that are granted are timed"
        );
    }};
}

fn requests() -> Result<Vec<Request>> {
    io::stdin()
        .lock()
        .lines()
        .map(|line| {
            let case: Case = serde_json::from_str(&line?)?;
            let policy = std::fs::read_to_string(&case.policy)
                .with_context(|| format!("cannot read {}", case.policy))?;
            Ok(Request {
                policy,
                data: case.data.to_string(),
                input: case.input.to_string(),
            })
        })
        .collect()
}

fn print(list: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(list)?;
    Ok(writeln!(io::stdout(), "\n{line}")?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let requests = requests()?;
    if arguments.first().map(String::as_str) == Some("time") {
        let rounds: usize = arguments.get(1).context("usage: time <rounds>")?.parse()?;
        let mut times: Vec<BothTimes> = requests.iter().map(|_| BothTimes::default()).collect();
        for _ in 0..rounds {
            for (request, times) in requests.iter().zip(&mut times) {
                time!(field, request, times.field);
                time!(main_branch, request, times.main);
            }
        }
        return print(&times);
    }
    let answers: Vec<Answers> = requests
        .iter()
        .map(|request| Answers {
            field: answer(field::load(request).and_then(|mut engine| field::ask(&mut engine))),
            main: answer(
                main_branch::load(request).and_then(|mut engine| main_branch::ask(&mut engine)),
            ),
        })
        .collect();
    print(&answers)
}
