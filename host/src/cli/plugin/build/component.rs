//! From a project's world to bindings, and from a core module to a component.

use anyhow::{Context as _, anyhow, bail};
use std::fs;
use std::path::Path;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::wit_parser::{Resolve, WorldId, WorldItem};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// An interface that a world exports.
pub(super) struct Promise<'a> {
    /// `message-filter`
    pub(super) interface: &'a str,
    /// `postern:policy/message-filter@0.1.0`
    pub(super) id: String,
    pub(super) functions: Vec<&'a str>,
}

/// A project's world.
pub(super) struct World {
    resolve: Resolve,
    id: WorldId,
}

impl World {
    /// World `plugin` of the package in that folder.
    pub(super) fn read(wit: &Path) -> anyhow::Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(wit)
            .map_err(|error| anyhow!("{} is not right: {error:#}", wit.display()))?;
        let id = resolve
            .select_world(&[package], Some("plugin"))
            .map_err(|_| anyhow!("{} has no world `plugin`", wit.display()))?;
        Ok(Self { resolve, id })
    }

    /// The files that a generator makes of it.
    pub(super) fn bindings(&mut self, mut generator: Box<dyn WorldGenerator>) -> anyhow::Result<Files> {
        let mut files = Files::default();
        generator
            .generate(&mut self.resolve, self.id, &mut files)
            .context("no bindings can be made of wit/")?;
        Ok(files)
    }

    /// The interfaces that it promises to export.
    pub(super) fn promised(&self) -> Vec<Promise<'_>> {
        let items = self.resolve.worlds.get(self.id).into_iter();
        let interfaces = items.flat_map(|world| world.exports.values()).filter_map(|item| {
            let WorldItem::Interface { id, .. } = item else {
                return None;
            };
            let interface = self.resolve.interfaces.get(*id)?;
            Some(Promise {
                interface: interface.name.as_deref()?,
                id: self.resolve.id_of(*id)?,
                functions: interface.functions.keys().map(String::as_str).collect(),
            })
        });
        interfaces.collect()
    }

    /// Says in a core module which world it is for.
    pub(super) fn embed(&self, module: &mut Vec<u8>) -> anyhow::Result<()> {
        embed_component_metadata(module, &self.resolve, self.id, StringEncoding::UTF8, false)
            .context("what was built is no module")
    }
}

/// A component of a core module that was built for WASI preview 1 and says which world it is for.
pub(super) fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encode = || {
        ComponentEncoder::default()
            .module(module)?
            .adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )?
            .validate(true)
            .encode()
    };
    encode().map_err(|error| anyhow!("what was built does not fit world `plugin` in wit/: {error:#}"))
}

/// Name of the package in a project's `wit/`, without its namespace.
pub(super) fn package(wit: &Path) -> anyhow::Result<String> {
    let World { resolve, id } = World::read(wit)?;
    let package = resolve.worlds.get(id).and_then(|world| world.package);
    match package.and_then(|package| resolve.packages.get(package)) {
        Some(package) => Ok(package.name.name.clone()),
        None => bail!("{} names no package", wit.display()),
    }
}

/// Writes a file, with the folders above it.
pub(super) fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, content))
        .with_context(|| format!("cannot write {}", file.display()))
}
