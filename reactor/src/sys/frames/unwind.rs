//! Finds the frames in a copy of a stack, with the unwind tables of the program and its libraries.
//!
//! The tables are read from the files that /proc/self/maps names, and from memory for the code that
//! the kernel maps. They are read again for each sample: stalls are rare, and libraries come and
//! go. Without /proc, the search follows frame pointers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative,
    Unwinder, UnwinderNative,
};
use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef};

use crate::sys::frames::sample::StackSample;

/// The maximum number of frames. A deeper stack is a runaway recursion.
const FRAMES_MAX: usize = 256;

type Tables = UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>;

/// Returns the addresses of the frames in a sample, newest first.
pub(super) fn frames(sample: &StackSample) -> Vec<u64> {
    let tables = tables();
    let mut cache = CacheNative::<MayAllocateDuringUnwind>::new();
    let mut read_stack = |address| word(sample, address).ok_or(());
    let mut frames = Vec::new();
    let mut iter = tables.iter_frames(sample.pc, registers(sample), &mut cache, &mut read_stack);
    // An error is the end of what can be read.
    while let Ok(Some(frame)) = iter.next() {
        frames.push(frame.address());
        if frames.len() == FRAMES_MAX {
            break;
        }
    }
    frames
}

#[cfg(target_arch = "x86_64")]
fn registers(sample: &StackSample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.pc, sample.sp, sample.fp)
}

#[cfg(target_arch = "aarch64")]
fn registers(sample: &StackSample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.lr, sample.sp, sample.fp)
}

/// Returns the word of the stack at an address, if it was copied.
fn word(sample: &StackSample, address: u64) -> Option<u64> {
    let at = usize::try_from(address.checked_sub(sample.sp)?).ok()?;
    let bytes = sample.stack.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// A part of a file, or of the kernel's code, in memory.
#[derive(Debug)]
struct Mapping {
    memory: Range<u64>,
    offset: u64,
    is_code: bool,
}

/// Reads the tables of everything that is mapped as code.
fn tables() -> Tables {
    let mut tables = Tables::new();
    for (path, mappings) in mappings(&fs::read_to_string("/proc/self/maps").unwrap_or_default()) {
        if mappings.iter().any(|mapping| mapping.is_code) {
            // A file that cannot be read has no tables.
            if let Some(module) = module(&path, &mappings) {
                tables.add_module(module);
            }
        }
    }
    tables
}

/// Parses the list of mappings that have a name.
fn mappings(maps: &str) -> BTreeMap<String, Vec<Mapping>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in maps.lines() {
        // For example `55d0c0a000-55d0c0b000 r-xp 00002000 fd:00 1234   /usr/bin/program`.
        let Some((head, name)) = line.find(['/', '[']).map(|at| line.split_at(at)) else {
            continue;
        };
        let fields: Vec<_> = head.split_ascii_whitespace().collect();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let parsed = || {
            let (start, end) = fields.first()?.split_once('-')?;
            Some(Mapping {
                memory: hex(start)?..hex(end)?,
                offset: hex(fields.get(2)?)?,
                is_code: fields.get(1)?.contains('x'),
            })
        };
        if let Some(mapping) = parsed() {
            found.entry(name.to_owned()).or_default().push(mapping);
        }
    }
    found
}

fn module(name: &str, mappings: &[Mapping]) -> Option<Module<Vec<u8>>> {
    if name == "[vdso]" {
        let memory = &mappings.first()?.memory;
        let mut bytes = vec![0; usize::try_from(memory.end - memory.start).ok()?];
        let own = File::open("/proc/self/mem").ok()?;
        own.read_exact_at(&mut bytes, memory.start).ok()?;
        return module_of(name, mappings, bytes.as_slice());
    }
    // The file of a running program may have been replaced or deleted.
    let is_program = fs::read_link("/proc/self/exe").is_ok_and(|link| link == Path::new(name));
    let file = File::open(if is_program { "/proc/self/exe" } else { name }).ok()?;
    module_of(name, mappings, &ReadCache::new(file))
}

/// Reads the sections that describe frames.
fn module_of<'a, R: ReadRef<'a>>(
    name: &str,
    mappings: &[Mapping],
    file: R,
) -> Option<Module<Vec<u8>>> {
    type Elf<'a, R> = object::read::elf::ElfFile64<'a, object::Endianness, R>;
    let elf = Elf::parse(file).ok()?;
    // The distance from the addresses in the file to those in memory.
    let bias = mappings.iter().find_map(|mapping| {
        elf.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let is_in_it = (offset..offset + size).contains(&mapping.offset)
                || offset / 4096 * 4096 == mapping.offset;
            let in_file = (segment.address() + mapping.offset).wrapping_sub(offset);
            is_in_it.then(|| mapping.memory.start.wrapping_sub(in_file))
        })
    })?;
    let section = |name| elf.section_by_name(name);
    let data = |name| Some(section(name)?.uncompressed_data().ok()?.into_owned());
    let range = |name| {
        let section = section(name)?;
        Some(section.address()..section.address() + section.size())
    };
    let start = mappings.iter().map(|mapping| mapping.memory.start).min()?;
    let end = mappings.iter().map(|mapping| mapping.memory.end).max()?;
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        ..ExplicitModuleSectionInfo::default()
    };
    Some(Module::new(name.to_owned(), start..end, bias, sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_list_of_mappings_are_parsed() {
        let maps = "\
            55d0c0a000-55d0c0b000 r--p 00000000 fd:00 1234   /usr/bin/a program\n\
            55d0c0b000-55d0c0d000 r-xp 00001000 fd:00 1234   /usr/bin/a program\n\
            7f00000000-7f00001000 rw-p 00000000 00:00 0 \n\
            7fff000000-7fff001000 r-xp 00000000 00:00 0      [vdso]\n";
        let found = mappings(maps);
        assert_eq!(found.len(), 2, "{found:?}");
        let program = &found["/usr/bin/a program"];
        assert_eq!(program[1].memory, 0x55_d0c0_b000..0x55_d0c0_d000);
        assert_eq!((program[1].offset, program[1].is_code), (0x1000, true));
        assert!(!program[0].is_code && found["[vdso]"][0].is_code);
    }

    #[test]
    fn a_stack_is_read_within_its_copy() {
        let sample = StackSample {
            pc: 0,
            sp: 0x1000,
            fp: 0,
            lr: 0,
            stack: (0..16).collect(),
        };
        let first = u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(word(&sample, 0x1000), Some(first));
        assert!(word(&sample, 0x1008).is_some());
        for outside in [0xff8, 0x1009, 0x1010, u64::MAX] {
            assert_eq!(word(&sample, outside), None);
        }
    }
}
