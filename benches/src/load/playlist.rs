//! What a viewer needs of an LL-HLS playlist (RFC 8216bis).

use anyhow::Context as _;

/// A part: the number of its segment, its number in it, its address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub at: (u64, u64),
    pub uri: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Playlist {
    /// The newest header.
    pub map: String,
    pub parts: Vec<Part>,
}

pub(super) fn parse(text: &str) -> anyhow::Result<Playlist> {
    let quoted = |line: &str| Some(line.split("URI=\"").nth(1)?.split('"').next()?.to_owned());
    let (mut map, mut parts, mut segment, mut part) = (None, Vec::new(), 0, 0);
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            segment = number.parse()?;
        } else if line.starts_with("#EXT-X-MAP:") {
            map = quoted(line);
        } else if line.starts_with("#EXT-X-PART:") {
            let uri = quoted(line).context("a part without an address")?;
            parts.push(Part {
                at: (segment, part),
                uri,
            });
            part += 1;
        } else if !line.starts_with('#') && !line.is_empty() {
            (segment, part) = (segment + 1, 0);
        }
    }
    Ok(Playlist {
        map: map.context("a playlist without a header")?,
        parts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_within_their_segments() {
        let text = "#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:7\n\
                    #EXT-X-MAP:URI=\"live/i0.mp4\"\n#EXTINF:2.0,\nlive/7.m4s\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"live/8.0.m4s\",INDEPENDENT=YES\n#EXTINF:0.2,\nlive/8.m4s\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"live/9.0.m4s\"\n#EXT-X-PART:DURATION=0.2,URI=\"live/9.1.m4s\"\n\
                    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"live/9.2.m4s\"\n";
        let list = parse(text).unwrap();
        assert_eq!(list.map, "live/i0.mp4");
        let found: Vec<_> = list.parts.iter().map(|p| (p.at, p.uri.as_str())).collect();
        let want = [
            ((8, 0), "live/8.0.m4s"),
            ((9, 0), "live/9.0.m4s"),
            ((9, 1), "live/9.1.m4s"),
        ];
        assert_eq!(found, want);
        assert!(parse("#EXTM3U\n").is_err());
    }
}
