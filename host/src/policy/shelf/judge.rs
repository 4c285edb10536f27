//! What a file of the folder is now, by what it was before.

use super::super::load::{Fault, Listed, Loader, State, listed, refused};
use super::super::manifest::{self, Manifest};
use super::exchange::Exchanges;
use super::stuck::Stuck;
use super::{Content, Entry, Evidence, Told, Version, Which, Wrong, is_compiled};
use std::path::Path;
use std::time::Instant;

/// What one look decides with.
pub(super) struct Judge<'a> {
    pub(super) loader: &'a Loader,
    pub(super) which: Which,
    /// When it began.
    pub(super) now: Instant,
    /// As they were before it.
    pub(super) exchanges: &'a Exchanges,
}

/// What a file is that nothing is wrong with yet.
enum Candidate<'a> {
    Disabled,
    /// The version that decides.
    Good(Version),
    New(New<'a>),
}

/// A version that is to be tried.
struct New<'a> {
    evidence: Evidence,
    wasm: &'a [u8],
    manifest: Manifest,
}

/// Whether a file can be judged.
pub(super) enum Readiness {
    /// It is the version that decides, and has its name.
    Good,
    Ready,
    /// The compiler must have been at it first.
    Uncompiled,
}

impl Judge<'_> {
    /// `other` is a policy before it that has its name and is right.
    pub(super) fn entry(&self, content: &Content, before: Option<&Entry>, other: Option<&str>) -> Entry {
        let mut listed = shown(content);
        let earlier = before.and_then(|entry| entry.good.clone().filter(|_| other.is_none()));
        match self.version(content, before, other, &mut listed) {
            Ok(version) => Entry {
                earlier: version.as_ref().and_then(|version| version.behind(before)),
                listed: version.as_ref().map_or(listed, |version| version.listed.clone()),
                good: version,
                wrong: None,
            },
            Err(told) => {
                let wrong = before.and_then(|entry| entry.wrong.as_ref());
                let same = wrong.filter(|wrong| told.1.is_some() && wrong.told.1 == told.1);
                let stuck = match same {
                    // It was not tried in this look.
                    Some(wrong) if self.rests(&content.file, wrong) => wrong.stuck,
                    same => Stuck::after(&told.0, same.and_then(|wrong| wrong.stuck), Instant::now()),
                };
                let wrong = Wrong { told, stuck, listed };
                Entry {
                    listed: wrong.listed(earlier.as_ref()),
                    earlier: before.and_then(|entry| entry.earlier.clone()),
                    good: earlier,
                    wrong: Some(wrong),
                }
            }
        }
    }

    pub(super) fn readiness(&self, content: &Content, before: Option<&Entry>) -> Readiness {
        match self.candidate(content, before, None, &mut shown(content)) {
            Ok(Candidate::Good(_)) => Readiness::Good,
            Ok(Candidate::New(new)) => {
                let digest = &new.evidence.digest;
                match self.loader.compiled(&content.file, new.wasm, digest) {
                    Ok(None) => Readiness::Uncompiled,
                    Ok(Some(_)) | Err(_) => Readiness::Ready,
                }
            }
            Ok(Candidate::Disabled) | Err(_) => Readiness::Ready,
        }
    }

    /// The version that this file is now. None: it is disabled.
    fn version(
        &self,
        content: &Content,
        before: Option<&Entry>,
        other: Option<&str>,
        listed: &mut Listed,
    ) -> Result<Option<Version>, Told> {
        let new = match self.candidate(content, before, other, listed)? {
            Candidate::Disabled => return Ok(None),
            Candidate::Good(version) => return Ok(Some(version)),
            Candidate::New(new) => new,
        };
        match self.loader.load(new.wasm, new.manifest, listed) {
            Ok(plugin) => {
                listed.serving = Some(listed.digest.clone());
                Ok(Some(Version {
                    evidence: new.evidence,
                    listed: listed.clone(),
                    plugin,
                }))
            }
            Err(fault) => Err((fault, Some(new.evidence))),
        }
    }

    fn candidate<'a>(
        &self,
        content: &'a Content,
        before: Option<&Entry>,
        other: Option<&str>,
        listed: &mut Listed,
    ) -> Result<Candidate<'a>, Told> {
        let shown = self.evidence(content, other, listed);
        let Some(new) = shown.map_err(|fault| (fault, None))? else {
            return Ok(Candidate::Disabled);
        };
        let good = before.and_then(|entry| entry.good.as_ref());
        if let Some(good) = good.filter(|good| good.evidence == new.evidence) {
            return Ok(Candidate::Good(good.clone()));
        }
        let wrong = before.and_then(|entry| entry.wrong.as_ref());
        let same = wrong.filter(|wrong| wrong.told.1.as_ref() == Some(&new.evidence));
        if let Some(wrong) = same.filter(|wrong| self.rests(&content.file, wrong)) {
            *listed = wrong.listed.clone();
            return Err(wrong.told.clone());
        }
        Ok(Candidate::New(new))
    }

    /// None: it is disabled, and what is wrong with its octets is nobody's business.
    fn evidence<'a>(
        &self,
        content: &'a Content,
        other: Option<&str>,
        listed: &mut Listed,
    ) -> Result<Option<New<'a>>, Fault> {
        let file = &content.file;
        if is_compiled(file) {
            let text =
                "is compiled code, which is never loaded from here; put the .wasm here that it was made of";
            return Err(refused(file, text));
        }
        let beside = file.with_extension("yaml");
        let yaml = content.yaml.as_ref().map_err(Clone::clone)?;
        let text = std::str::from_utf8(yaml.as_deref().unwrap_or_default())
            .map_err(|error| refused(&beside, format!("is no text: {error}; write it in UTF-8")))?;
        let manifest = self.loader.manifest(text, listed)?;
        if manifest.state == manifest::State::Disabled {
            listed.state = State::Disabled;
            return Ok(None);
        }
        if let Some(other) = other {
            let text = format!("another policy has this name behind its number, {other}; rename one of them");
            return Err(refused(file, text));
        }
        let Some(octets) = content.wasm.as_ref().map_err(Clone::clone)? else {
            return Err(refused(file, "was removed while it was looked at; put it back"));
        };
        let evidence = Evidence {
            digest: octets.digest.clone(),
            manifest: text.to_owned(),
        };
        Ok(Some(New {
            evidence,
            wasm: &octets.wasm,
            manifest,
        }))
    }

    /// Whether the same file is not tried again in this look. One that has waited for the compiler is.
    fn rests(&self, file: &Path, wrong: &Wrong) -> bool {
        let is_early = wrong.stuck.is_some_and(|stuck| self.now < stuck.next);
        let is_same = self.which == Which::Changed && !self.exchanges.holds(file);
        is_same && (!wrong.told.0.passes || is_early)
    }
}

fn shown(content: &Content) -> Listed {
    let mut listed = listed(&content.file);
    if let Ok(Some(octets)) = &content.wasm {
        listed.digest.clone_from(&octets.digest);
    }
    listed
}

impl Wrong {
    /// The file in a listing: what decides in its stead, if anything does, or how far it came.
    fn listed(&self, earlier: Option<&Version>) -> Listed {
        let fault = self.told.0.text.clone();
        match earlier {
            Some(earlier) => Listed {
                digest: self.listed.digest.clone(),
                state: State::Earlier {
                    digest: earlier.evidence.digest.clone(),
                    fault,
                },
                ..earlier.listed.clone()
            },
            None => Listed {
                state: State::Refused(fault),
                ..self.listed.clone()
            },
        }
    }
}
