//! The engine that compiles and runs components.
//!
//! What a component may be is fixed here: no 64-bit memories, nothing whose outcome depends on the
//! processor, a bounded stack. Instances come from a pool, which reserves much address space; a machine that
//! does not give it gets an engine that allocates each instance on demand, slower and otherwise alike.

use anyhow::Context as _;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

const MIB: usize = 1 << 20;

/// Tables of one component: interpreters fill some ten thousand elements.
pub(super) const TABLE_ELEMENTS: usize = 40_000;

/// A pooled engine for so many instances at the same time, or one without a pool where the address space is
/// not to be had.
pub(super) fn start(instances: u32) -> anyhow::Result<Engine> {
    match Engine::new(&config(pool(instances))) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, "no address space for a pool of instances; policies run on demand, slower");
            on_demand()
        }
    }
}

pub(super) fn on_demand() -> anyhow::Result<Engine> {
    Engine::new(&config(InstanceAllocationStrategy::OnDemand))
        .map_err(anyhow::Error::from)
        .context("the WebAssembly engine does not start")
}

fn config(strategy: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MIB)
        .async_stack_size(2 * MIB)
        .memory_init_cow(true)
        .concurrency_support(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .allocation_strategy(strategy);
    config
}

fn pool(instances: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_memories(2 * instances)
        .total_tables(8 * instances)
        .total_stacks(instances)
        .total_core_instances(48 * instances)
        .max_core_instances_per_component(48)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .max_component_instance_size(2 * MIB)
        .max_core_instance_size(MIB)
        .table_elements(TABLE_ELEMENTS)
        // Kept between calls, so that a fresh instance faults no pages in.
        .linear_memory_keep_resident(2 * MIB)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(instances)
        .pagemap_scan(Enabled::Auto);
    // The bound of a memory is the limiter's: `limits.memory` of each policy.
    InstanceAllocationStrategy::Pooling(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_engine_compile_for_each_other() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let (first, second) = (on_demand().unwrap(), on_demand().unwrap());
        assert_eq!(
            hash(&first),
            hash(&second),
            "the cache is of use to the next process"
        );
    }

    #[test]
    fn a_component_with_a_64_bit_memory_is_refused() {
        let engine = on_demand().unwrap();
        let taken = |memory: &str| {
            let wasm = wat::parse_str(format!("(component (core module (memory {memory})))")).unwrap();
            wasmtime::component::Component::new(&engine, wasm).is_ok()
        };
        assert!(taken("1"));
        assert!(!taken("i64 1"));
    }
}
