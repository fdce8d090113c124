//! ELF files around call frame information that was made by hand.

/// Where the code begins in memory.
pub const TEXT: u64 = 0x10_0000;
/// Bytes of code.
pub const TEXT_SIZE: u64 = 0x10_0000;
/// Where `.eh_frame` begins, in the file and in memory.
const FRAMES: u64 = 0x200;

/// An ELF file with `section` as its `name` (`.eh_frame` or `.debug_frame`).
pub fn elf(name: &str, section: &[u8]) -> Vec<u8> {
    let names = format!("\0{name}\0.shstrtab\0");
    let (names_at, size) = (FRAMES + section.len() as u64, section.len() as u64);
    let headers_at = (names_at + names.len() as u64).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    put(&mut file, 2, &[3, 62]);
    put(&mut file, 4, &[1]);
    put(&mut file, 8, &[0, 64, headers_at]);
    put(&mut file, 4, &[0]);
    put(&mut file, 2, &[64, 56, 1, 64, 3, 2]);
    // PT_LOAD, readable and executable.
    put(&mut file, 4, &[1, 5]);
    put(&mut file, 8, &[0x1000, TEXT, TEXT, TEXT_SIZE, TEXT_SIZE, 0x1000]);
    file.resize(FRAMES as usize, 0);
    file.extend_from_slice(section);
    file.extend_from_slice(names.as_bytes());
    file.resize(headers_at as usize, 0);
    put(&mut file, 8, &[0; 8]);
    put(&mut file, 4, &[1, 1]);
    put(&mut file, 8, &[2, FRAMES, FRAMES, size, 0, 8, 0]);
    put(&mut file, 4, &[name.len() as u64 + 2, 3]);
    put(&mut file, 8, &[0, 0, names_at, names.len() as u64, 0, 1, 0]);
    file
}

/// Appends `numbers`, each as `size` bytes.
fn put(bytes: &mut Vec<u8>, size: usize, numbers: &[u64]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes()[..size]);
    }
}

/// An `.eh_frame` in the making.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    shared: usize,
}

impl Frames {
    /// Begins with what functions share: `instructions`, to be run before those of each function.
    pub fn new(augmentation: &str, instructions: &[u8]) -> Self {
        let mut frames = Self::default();
        frames.share(augmentation, instructions);
        frames
    }

    /// Lets the functions that follow share something else.
    pub fn share(&mut self, augmentation: &str, instructions: &[u8]) {
        self.shared = self.bytes.len();
        let mut body = vec![0, 0, 0, 0, 1];
        body.extend_from_slice(augmentation.as_bytes());
        // Code in bytes, data in words down, the return address is register 16; one byte: relative, 4 bytes, signed.
        body.extend_from_slice(&[0, 1, 0x78, 16, 1, 0x1b]);
        self.entry(body, instructions);
    }

    /// A function of `size` bytes at `start`, counted from [`TEXT`].
    pub fn function(mut self, start: u32, size: u32, instructions: &[u8]) -> Self {
        let here = self.bytes.len();
        let mut body = Vec::new();
        put(&mut body, 4, &[(here + 4 - self.shared) as u64]);
        put(&mut body, 4, &[(TEXT + u64::from(start)).wrapping_sub(FRAMES + here as u64 + 8), u64::from(size)]);
        body.push(0);
        self.entry(body, instructions);
        self
    }

    fn entry(&mut self, mut body: Vec<u8>, instructions: &[u8]) {
        body.extend_from_slice(instructions);
        body.resize(body.len().next_multiple_of(4), 0);
        put(&mut self.bytes, 4, &[body.len() as u64]);
        self.bytes.extend_from_slice(&body);
    }

    /// The section, closed by a zero.
    pub fn section(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes
    }

    /// A file with it.
    pub fn elf(self) -> Vec<u8> {
        elf(".eh_frame", &self.section())
    }
}
