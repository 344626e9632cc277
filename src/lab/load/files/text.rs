//! What a file is written in: its encoding and the separator of its columns, said or found.

use std::io::{BufRead as _, BufReader, Read};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;

/// Bytes from which UTF-16 without a byte order mark is recognised.
const SAMPLE: usize = 1_024;
/// The longest heading that is searched for a separator.
const HEADING_MAX: u64 = 1024 * 1024;
/// Separators that are recognised in a heading, in order of preference.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The encoding of this name, such as `utf-8`, `utf-16le`, `windows-1252` or `latin1`.
///
/// # Errors
/// A text for people where there is none of this name.
pub fn named(name: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(name.trim().as_bytes()).ok_or_else(|| {
        format!("{name} is no known encoding; such are utf-8, utf-16le, windows-1252, latin1")
    })
}

/// The encoding in which a file seems to be written: by its byte order mark, by the zeros of
/// UTF-16, UTF-8 where all of it is, and Windows-1252 (which contains Latin-1) otherwise. Reads all
/// of it.
///
/// # Errors
/// Where the file cannot be read.
pub fn found(file: impl Read) -> std::io::Result<&'static Encoding> {
    let mut file = BufReader::new(file);
    let sample = file.fill_buf()?;
    if let Some((encoding, _)) = Encoding::for_bom(sample) {
        return Ok(encoding);
    }
    let sample = sample.get(..sample.len().min(SAMPLE)).unwrap_or_default();
    let zeros = |odd: usize| {
        sample.iter().enumerate().filter(|(at, byte)| at % 2 == odd && **byte == 0).count()
    };
    // Text in Latin letters has a zero in every second byte.
    if zeros(1) * 3 > sample.len() {
        return Ok(UTF_16LE);
    }
    if zeros(0) * 3 > sample.len() {
        return Ok(UTF_16BE);
    }
    Ok(if is_utf8(file)? { UTF_8 } else { WINDOWS_1252 })
}

fn is_utf8(mut file: impl Read) -> std::io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    // Bytes of a character that the end of the buffer divided.
    let mut kept = 0;
    loop {
        let read = file.read(buffer.get_mut(kept..).unwrap_or_default())?;
        if read == 0 {
            return Ok(kept == 0);
        }
        let filled = kept + read;
        let text = buffer.get(..filled).unwrap_or_default();
        let valid = match std::str::from_utf8(text) {
            Ok(_) => filled,
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Ok(false),
        };
        buffer.copy_within(valid..filled, 0);
        kept = filled - valid;
    }
}

/// The file as UTF-8, without a byte order mark; characters that are none become U+FFFD.
pub fn decoded(file: Box<dyn Read + Send>, encoding: &'static Encoding) -> Box<dyn Read + Send> {
    let mut decoder = DecodeReaderBytesBuilder::new();
    decoder.encoding(Some(encoding)).bom_override(true).strip_bom(true);
    Box::new(decoder.build(file))
}

/// The separator that the heading of a decoded file has most often outside of quotes; a comma where
/// it has none. Returns the whole file with it: the heading is not read again.
///
/// # Errors
/// Where the file cannot be read.
pub fn separator(file: Box<dyn Read + Send>) -> std::io::Result<(u8, Box<dyn Read + Send>)> {
    let mut file = BufReader::new(file);
    let mut heading = Vec::new();
    (&mut file).take(HEADING_MAX).read_until(b'\n', &mut heading)?;
    let separator = most_often(&heading);
    Ok((separator, Box::new(std::io::Cursor::new(heading).chain(file))))
}

fn most_often(heading: &[u8]) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut is_quoted = false;
    for byte in heading {
        is_quoted ^= *byte == b'"';
        let known = SEPARATORS.iter().position(|separator| separator == byte);
        if let (false, Some(count)) = (is_quoted, known.and_then(|at| counts.get_mut(at))) {
            *count += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = SEPARATORS.iter().zip(counts).find(|(_, count)| *count == most);
    found.map_or(b',', |(separator, _)| *separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> String {
        let encoding = found(bytes).unwrap();
        let mut text = String::new();
        let file = Box::new(std::io::Cursor::new(bytes.to_vec()));
        decoded(file, encoding).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn an_encoding_is_found_by_mark_zeros_or_bytes() {
        let text = "Größe;Preis\nM;4,50 €\n";
        assert_eq!(read(text.as_bytes()), text);
        assert_eq!(read(&[b"\xef\xbb\xbf", text.as_bytes()].concat()), text);
        let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let [little, big] = [wide(u16::to_le_bytes), wide(u16::to_be_bytes)];
        assert_eq!(read(&little), text);
        assert_eq!(read(&big), text);
        assert_eq!(read(&[b"\xff\xfe".to_vec(), little].concat()), text);
        assert_eq!(read(&[b"\xfe\xff".to_vec(), big].concat()), text);
        assert_eq!(read(b"Gr\xf6\xdfe;Preis\nM;4,50 \x80\n"), text);
        // A character that two reads divide.
        let long = "ö".repeat(100_000);
        assert_eq!(read(format!("x{long}").as_bytes()), format!("x{long}"));
    }

    #[test]
    fn a_separator_is_what_the_heading_has_most() {
        for (heading, expected) in [
            ("a,b,c", b','),
            ("a;b, the second;c", b';'),
            ("a\tb\tc\n1,2,3,4,5", b'\t'),
            ("\"a;b;c;d\",e,f", b','),
            ("alone", b','),
        ] {
            let file = Box::new(std::io::Cursor::new(heading.as_bytes().to_vec()));
            let (found, mut whole) = separator(file).unwrap();
            let mut text = String::new();
            whole.read_to_string(&mut text).unwrap();
            assert_eq!((found, text.as_str()), (expected, heading));
        }
        assert!(named("latin1").is_ok() && named("UTF-16LE").is_ok());
        assert!(named("klingon").is_err());
    }
}
