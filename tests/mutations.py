#!/usr/bin/env python3
"""Breaks what the Cassandra store promises inside, one promise at a time, and demands that its tests turn red.

What a store may do wrong as seen from outside is tried in `make test` (host/src/store/contract/broken.rs). What only
the engine's own lines can break is tried here: all mutations are written into a copy of the sources, each behind a
name, so that one build serves them all; POSTERN_MUTANT says which is awake. Exit code 1 if one stays green, or if the
copy is red while all are asleep.

Most are tried by tests of the library over one node. What takes a replica that knows less than the others is tried by
tests of gateways over three (tests/cluster).

    tests/mutations.py [NAME ...]
    tests/mutations.py --check      only whether each still fits its file
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
COPY = TARGET / "mutations"
STORE = "host/src/store/cassandra/"
TESTS = "store::cassandra::"
CLUSTER = "tests/cluster/gateway.rs"
BEHIND = "nodes::a_replica_that_missed_rows_and_was_repaired_in_part_harms_nothing"
ALONE = "nodes::a_listed_body_that_one_replica_has_is_awaited_while_that_one_is_away"
AWAY = "upkeep::nothing_is_taken_or_said_to_be_wrong_while_a_replica_is_away"
VERSION = "0.1.0"
AWAKE = """
/// Whether this mutation is awake.
pub fn mutant(name: &str) -> bool {
    std::env::var("POSTERN_MUTANT").is_ok_and(|awake| awake == name)
}
"""

# Name, file, what stands there, what comes in its place, the test that must go red.
MUTATIONS = [
    (
        "the sizes that make a body are written before its parts",
        STORE + "bodies.rs",
        "        self.put_parts(id, place, parts(&chunk)).await\n",
        """        if crate::mutant("NAME") {
            let values = (rows::uuid(id), 0_i64, size as i64, &Bytes::new(), rows::written_at(id));
            self.cluster.execute(&self.statements.commit_blob, values).await?;
        }
        self.put_parts(id, place, parts(&chunk)).await
""",
        "appended_text_is_read_before_and_after_its_commit",
    ),
    (
        "a message is listed before its body is written",
        STORE + "mail.rs",
        "        self.put_body(delivery.id, &delivery.content, &delivery.facts)\n            .await?;\n",
        """        if crate::mutant("NAME") {
            for entry in &plan.entries {
                self.put_entry(delivery.id, entry, Body::Shared).await?;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        self.put_body(delivery.id, &delivery.content, &delivery.facts)
            .await?;
""",
        "what_is_listed_can_be_read_at_once",
    ),
    (
        "a body is taken back when an answer did not come",
        STORE + "mail.rs",
        "        let end = match written {\n",
        """        if written.is_err() && crate::mutant("NAME") {
            self.drop_body(delivery.id, rows::above_all(self.clock.now())).await?;
        }
        let end = match written {
""",
        "a_delivery_whose_answer_never_came_may_be_listed_and_has_its_body",
    ),
    (
        "a retry is not recognised",
        STORE + "usage.rs",
        "                listed: recent.is_some(),\n",
        "                listed: recent.is_some() && !crate::mutant(\"NAME\"),\n",
        "delivering_again_changes_nothing",
    ),
    (
        "deletions carry the present time",
        STORE + "rows.rs",
        "micros(now) + APART.as_micros() as i64\n",
        "micros(now) + APART.as_micros() as i64 * i64::from(!crate::mutant(\"NAME\"))\n",
        "what_a_gateway_with_a_faster_clock_wrote_is_removed_all_the_same",
    ),
    (
        "names of addresses are dropped as of now",
        STORE + "names.rs",
        "        let made = self.made_at(key).await?;\n",
        """        let made = match crate::mutant("NAME") {
            true => Some(rows::micros(self.clock.now())),
            false => self.made_at(key).await?,
        };
""",
        "an_account_is_listed_though_a_clock_ahead_removed_its_name_just_now",
    ),
    (
        "names of addresses are put ahead of now",
        STORE + "names.rs",
        "rows::before_all(self.clock.now()))",
        """match crate::mutant("NAME") {
            true => rows::above_all(self.clock.now()),
            false => rows::before_all(self.clock.now()),
        })""",
        "an_address_that_is_removed_as_soon_as_it_was_made_leaves_no_name",
    ),
    (
        "a lost answer to a replacement is taken for another's",
        STORE + "directory.rs",
        "        Ok(replaced?.made(&columns(&after)))\n",
        """        let replaced = replaced?;
        Ok(match crate::mutant("NAME") {
            true => replaced.is_applied(),
            false => replaced.made(&columns(&after)),
        })
""",
        "a_replacement_whose_answer_was_lost_is_told_from_anothers",
    ),
    (
        "who failed keeps its place",
        STORE + "cluster.rs",
        "            Err(error) => Attempt::Failed(Box::new(error)),\n",
        """            Err(error) => {
                if crate::mutant("NAME") {
                    std::mem::forget(_permit);
                }
                Attempt::Failed(Box::new(error))
            }
""",
        "who_pauses_before_trying_again_lets_others_pass",
    ),
    (
        "rows carry the time at which they are written",
        STORE + "rows.rs",
        "    (id.unix_millis().min(unix_millis()) * 1000) as i64\n",
        """    match crate::mutant("NAME") {
        true => (unix_millis() * 1000) as i64 + 21_000_000,
        false => (id.unix_millis().min(unix_millis()) * 1000) as i64,
    }
""",
        "a_write_that_comes_late_does_not_bring_back_what_was_removed",
    ),
    (
        "the low-water mark follows at once",
        STORE + "mail.rs",
        "saturating_sub(rows::LOW_BEHIND.as_millis() as u64)",
        "saturating_sub(rows::LOW_BEHIND.as_millis() as u64 * u64::from(!crate::mutant(\"NAME\")))",
        "an_older_message_is_listed_though_younger_ones_were_removed",
    ),
    (
        "a listing row is written whatever its age",
        STORE + "mail.rs",
        "match delivery.entries.is_empty() ||",
        "match crate::mutant(\"NAME\") || delivery.entries.is_empty() ||",
        "an_id_of_45_minutes_is_delivered_and_an_older_one_is_not",
    ),
    (
        "only the newest epoch is listed",
        STORE + "mail.rs",
        "        let mut pages = Vec::new();\n        for (epoch, low) in &epochs {\n",
        """        let mut pages = Vec::new();
        let skipped = if crate::mutant("NAME") { epochs.len().saturating_sub(1) } else { 0 };
        for (epoch, low) in epochs.iter().skip(skipped) {
""",
        "mail_of_several_epochs_is_listed_in_order_and_counted",
    ),
    (
        "a shared body goes with its first holder",
        STORE + "mail.rs",
        "            Some(_) => Ok(()),\n            None => self.drop_body(body, at).await,\n",
        """            Some(_) if !crate::mutant("NAME") => Ok(()),
            _ => self.drop_body(body, at).await,
""",
        "a_shared_body_goes_with_its_last_holder",
    ),
    (
        "16 KiB are not small any more",
        STORE + "mail.rs",
        "text.len() <= rows::SMALL",
        "text.len() + usize::from(crate::mutant(\"NAME\")) <= rows::SMALL",
        "a_small_message_for_one_is_one_mutation_at_16_kib_and_not_beyond",
    ),
    (
        "a warm usage cache is not believed",
        STORE + "usage.rs",
        "        let age = known.read?.elapsed();\n",
        """        if crate::mutant("NAME") {
            return None;
        }
        let age = known.read?.elapsed();
""",
        "a_delivery_reads_usage_once_and_then_not_at_all_and_transacts_nothing",
    ),
    (
        "what was found instead is always one's own",
        STORE + "transaction.rs",
        "(self.earlier == Earlier::Unclear && same())",
        "((crate::mutant(\"NAME\") || self.earlier == Earlier::Unclear) && same())",
        "of_many_creators_one_succeeds",
    ),
    (
        "what was found instead is never one's own",
        STORE + "transaction.rs",
        "Some(CqlValue::Boolean(_)) => Ok(Decided { found, earlier }),",
        """Some(CqlValue::Boolean(_)) => {
                let earlier = if crate::mutant("NAME") { Earlier::None } else { earlier };
                Ok(Decided { found, earlier })
            }""",
        "a_creation_whose_answer_was_lost_is_told_from_anothers",
    ),
    (
        "a value is replaced whatever it is by now",
        STORE + "kv.rs",
        "let values = (ttl, value, version, over_at, namespace, key, found);",
        """let found = match crate::mutant("NAME") {
                    true => {
                        let now: Option<KvRow> = self.cluster.row(&self.statements.kv_serial, (namespace, key)).await?;
                        now.map_or(found, |(_, version, _)| Some(version))
                    }
                    false => found,
                };
                let values = (ttl, value, version, over_at, namespace, key, found);""",
        "increments_and_comparisons_of_two_gateways_are_all_counted",
    ),
    (
        "a lease that is over is renewed",
        STORE + "lease.rs",
        "        Ok(leased(renewed))\n",
        "        Ok(leased(renewed || crate::mutant(\"NAME\")))\n",
        "a_lease_of_a_gateway_that_died_is_taken_over_when_its_time_is_over_and_no_earlier",
    ),
    (
        "the sweep takes what is young",
        STORE + "sweep.rs",
        "        id.unix_millis() < self.before\n",
        "        crate::mutant(\"NAME\") || id.unix_millis() < self.before\n",
        "upkeep::the_sweep_takes_what_nobody_lists_when_it_is_two_days_old",
    ),
    (
        "who compares and collects believes one replica",
        STORE + "statements.rs",
        "            Self::Whole => Some(Consistency::All),\n",
        """            Self::Whole => Some(match crate::mutant("NAME") {
                true => Consistency::LocalOne,
                false => Consistency::All,
            }),
""",
        AWAY,
    ),
    (
        "what could not be compared is not said",
        STORE + "check.rs",
        "        if matches!(area, Area::Entries | Area::Quarantine) {\n",
        """        if crate::mutant("NAME") {
            return;
        }
        if matches!(area, Area::Entries | Area::Quarantine) {
""",
        AWAY,
    ),
    (
        "no clock is wrong",
        STORE + "clock.rs",
        "        self.0.unsigned_abs() >= WRONG\n",
        "        self.0.unsigned_abs() >= WRONG && !crate::mutant(\"NAME\")\n",
        "a_wrong_clock_delivers_and_removes_nothing",
    ),
    (
        "a removal reads the clock again",
        STORE + "mail.rs",
        "        let at = rows::above_all(self.clock.moment()?);\n",
        """        self.clock.right()?;
        let at = rows::above_all(match crate::mutant("NAME") {
            true => self.clock.now(),
            false => self.clock.moment()?,
        });
""",
        "a_removal_has_the_time_of_its_look_at_the_clock",
    ),
    (
        "what was refused for good opens the breaker",
        STORE + "cluster.rs",
        "    if !permanent(error) {\n",
        "    if !permanent(error) || crate::mutant(\"NAME\") {\n",
        "what_no_retry_can_mend_does_not_open_the_breaker_and_what_waits_for_nodes_does",
    ),
    (
        "an open breaker lets everybody pass",
        STORE + "breaker.rs",
        "            Some(_) => Admission::Refused,\n            None =>",
        "            Some(_) if !crate::mutant(\"NAME\") => Admission::Refused,\n            _ =>",
        "an_open_breaker_closes_by_itself_when_the_cluster_answers",
    ),
    (
        "nobody tries a cluster that is out of reach",
        STORE + "watch.rs",
        "        if store.cluster.breaker.open_for().is_some() ||",
        "        if store.cluster.breaker.open_for().is_some() && !crate::mutant(\"NAME\") ||",
        "an_open_breaker_closes_by_itself_when_the_cluster_answers",
    ),
    (
        "the breaker opens for a moment's trouble",
        STORE + "breaker.rs",
        " && since.elapsed() >= PATIENCE)",
        " && (crate::mutant(\"NAME\") || since.elapsed() >= PATIENCE))",
        "it_opens_after_failures_for_a_while_and_closes_with_a_success",
    ),
    (
        "an answer of one replica closes the breaker",
        STORE + "breaker.rs",
        "        if reach == Reach::Other {\n",
        "        if reach == Reach::Other && !crate::mutant(\"NAME\") {\n",
        "requests_that_reach_fewer_replicas_are_a_row_of_their_own",
    ),
    (
        "a late copy is acknowledged though its body is gone",
        STORE + "mail.rs",
        "            if plan.step == Step::Later {\n",
        "            if plan.step == Step::Later && !crate::mutant(\"NAME\") {\n",
        "a_late_copy_of_what_was_removed_meanwhile_is_not_acknowledged",
    ),
    (
        "what is listed without a reference is left out of a copy",
        STORE + "moving.rs",
        "        for few in listed.chunks(LOOKS) {\n",
        "        for few in listed.chunks(LOOKS).filter(|_| !crate::mutant(\"NAME\")) {\n",
        "shared_mail_without_a_reference_is_named_and_not_left_out",
    ),
    (
        "who changes an alias reads what is remembered",
        STORE + "directory.rs",
        "        Ok(self.decided(key).await?.and_then(alias))\n",
        """        if crate::mutant("NAME") {
            return self.alias(key).await;
        }
        Ok(self.decided(key).await?.and_then(alias))
""",
        "who_changes_an_alias_reads_it_afresh_and_changes_what_was_read",
    ),
    (
        "a value that lost stays counted",
        STORE + "kv.rs",
        "        self.count_again(namespace, key, row).await?;\n",
        """        if !crate::mutant("NAME") {
            self.count_again(namespace, key, row).await?;
        }
""",
        "a_value_that_lost_against_another_is_not_counted",
    ),
    (
        "half an address is an unknown one",
        STORE + "directory.rs",
        "        let torn = || StoreError",
        """        if crate::mutant("NAME") {
            return Ok(row.and_then(|row| read(key, row)));
        }
        let torn = || StoreError""",
        "half_an_address_is_trouble_and_not_an_unknown_one",
    ),
    (
        "a body that the nearest replica lacks is not there",
        STORE + "bodies.rs",
        "                    None => match self.find_in(",
        """                    None if crate::mutant("NAME") => None,
                    None => match self.find_in(""",
        BEHIND,
    ),
    (
        "a body that a quorum lacks is not there",
        STORE + "bodies.rs",
        "                        None => self.find_anywhere(mailbox, id).await?,\n",
        """                        None if crate::mutant("NAME") => None,
                        None => self.find_anywhere(mailbox, id).await?,
""",
        ALONE,
    ),
    (
        "a part that the nearest replica lacks is not there",
        STORE + "bodies.rs",
        "        if found.len() < expected {\n            found = whole_parts(self.cluster",
        "        if found.len() < expected && !crate::mutant(\"NAME\") {\n            found = whole_parts(self.cluster",
        BEHIND,
    ),
    (
        "a part that a quorum lacks is not there",
        STORE + "bodies.rs",
        "        if found.len() < expected {\n            found = whole_parts(self.seek",
        "        if found.len() < expected && !crate::mutant(\"NAME\") {\n            found = whole_parts(self.seek",
        ALONE,
    ),
]


def write_copy():
    """The sources with all mutations asleep in them, where the build of the last run goes on."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if not (ROOT / name).is_file():
            continue
        there = COPY / name
        there.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / name).read_bytes()
        mine = [mutation for mutation in MUTATIONS if mutation[1] == name]
        if mine:
            text = mutated(text.decode(), mine).encode()
        if name == "host/src/lib.rs":
            text += AWAKE.encode()
        if name in ("Cargo.toml", "Cargo.lock", "host/Cargo.toml", CLUSTER):
            text = apart(text.decode()).encode()
        if not there.is_file() or there.read_bytes() != text:
            there.write_bytes(text)


def apart(text):
    """Another version, and another name of the program: packages of one name and version are one to cargo, wherever
    they lie, and would overwrite each other in the folder that they share for what they depend on."""
    for own in ('[workspace.package]\nversion = "{}"', 'version = "{}"\ndependencies'):
        text = text.replace(own.format(VERSION), own.format(f"{VERSION}-mutations"))
    if '\nname = "postern"\n' in text and "[dependencies]" in text:
        text = text.replace("[package]\n", "[package]\nautobins = false\n", 1)
        text += '\n[[bin]]\nname = "postern-mutations"\npath = "src/main.rs"\n'
    return text.replace("CARGO_BIN_EXE_postern", "CARGO_BIN_EXE_postern-mutations")


def mutated(text, mutations):
    for name, file, old, new, _ in mutations:
        if text.count(old) != 1:
            sys.exit(f"{name}: {file} has it {text.count(old)} times:\n{old}")
        text = text.replace(old, new.replace("NAME", name))
    return text


def build():
    """The tests of the library and of the cluster: executables by the names of their targets."""
    command = ["cargo", "test", "--locked", "--package", "postern", "--features", "faults", "--lib", "--test", "cluster"]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(TARGET), RUSTFLAGS=os.environ.get("RUSTFLAGS", ""))
    command += ["--no-run", "--message-format=json"]
    told = subprocess.run(command, cwd=COPY, env=environment, stdout=subprocess.PIPE)
    if told.returncode:
        sys.exit("the copy with its mutations does not build")
    built = map(json.loads, told.stdout.decode().splitlines())
    built = [one for one in built if one.get("executable") and one.get("profile", {}).get("test")]
    return {one["target"]["name"]: one["executable"] for one in built}


def listed(tests):
    """The executable of each test that may turn red."""
    known = {}
    for target, prefix in (("postern", TESTS), ("cluster", "")):
        told = subprocess.run([tests[target], "--list"], capture_output=True, text=True, check=True).stdout
        paths = [line.removesuffix(": test") for line in told.splitlines() if line.endswith(": test")]
        paths = [path for path in paths if path.startswith(prefix) and "::broken::" not in path]
        known.update(dict.fromkeys(paths, tests[target]))
    return known


def red(tests, cases, awake):
    """Which of these cases of one executable are red."""
    environment = dict(os.environ, POSTERN_MUTANT=awake)
    command = [tests, "--exact", "--test-threads", "2", *cases]
    # Where the tests of a package run, and find their files.
    told = subprocess.run(command, cwd=COPY / "host", env=environment, capture_output=True, text=True).stdout
    if f"running {len(cases)} test" not in told or "test result:" not in told:
        sys.exit(f"not all of {cases} ran:\n{told}")
    cases = [case for case in cases if f"test {case} ... ok" not in told]
    if cases and not awake:
        print(told)
    return cases


def check():
    for file in sorted({mutation[1] for mutation in MUTATIONS}):
        mutated((ROOT / file).read_text(), [mutation for mutation in MUTATIONS if mutation[1] == file])


def main(wanted):
    if wanted == ["--check"]:
        return check()
    write_copy()
    known = listed(build())
    chosen = {}
    for name, _, _, _, case in MUTATIONS:
        where = [path for path in known if path == case or path.endswith("::" + case)]
        if len(where) != 1:
            sys.exit(f"{case}: {where or 'no such test'}")
        if not wanted or name in wanted:
            chosen[name] = where[0]
    if set(wanted) - set(chosen):
        sys.exit(f"no such mutation: {', '.join(set(wanted) - set(chosen))}")
    asleep = []
    for tests in sorted(set(known[case] for case in chosen.values())):
        asleep += red(tests, sorted({case for case in chosen.values() if known[case] == tests}), "")
    for case in asleep:
        print(f"red without a mutation: {case}", flush=True)
    green = 0
    for name, case in chosen.items():
        is_red = bool(red(known[case], [case], name))
        print(f"{'red' if is_red else 'GREEN'}: {name} ({case.removeprefix(TESTS)})", flush=True)
        green += not is_red
    return 1 if asleep or green else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
