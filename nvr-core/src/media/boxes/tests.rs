//! Tests of [`super`].

use super::*;
use proptest::prelude::*;

#[test]
fn header_forms() {
    let short = [0, 0, 0, 12, b'f', b'r', b'e', b'e', 1, 2, 3, 4];
    let b = find(&short, b"free").unwrap().unwrap();
    assert_eq!(b.body(), [1, 2, 3, 4]);

    let mut long = vec![0, 0, 0, 1];
    long.extend(b"mdat");
    long.extend(18u64.to_be_bytes());
    long.extend([7, 8]);
    let b = find(&long, b"mdat").unwrap().unwrap();
    assert_eq!((b.header.header_len, b.body()), (16, [7, 8].as_slice()));

    let open = [0, 0, 0, 0, b'm', b'd', b'a', b't', 9];
    let b = find(&open, b"mdat").unwrap().unwrap();
    assert_eq!(b.body(), [9]);
    assert_eq!(
        BoxHeader::parse(&open).unwrap(),
        HeaderParse::Whole(BoxHeader {
            size: None,
            ..b.header
        })
    );

    let mut w = BoxWriter::new();
    w.uuid(&[5; 16], |w| {
        w.u8(1);
    });
    let bytes = w.into_bytes();
    let b = Boxes::new(&bytes).next().unwrap().unwrap();
    assert_eq!((b.header.uuid, b.body()), (Some([5; 16]), [1].as_slice()));
    assert_eq!(
        BoxHeader::parse(&bytes[..20]).unwrap(),
        HeaderParse::NeedsBytes(24)
    );
}

#[test]
fn sizes_that_lie() {
    for bad in [
        &[0, 0, 0, 7, b'f', b'r', b'e', b'e'][..],
        &[0, 0, 0, 9, b'f', b'r', b'e', b'e'],
        &[
            0, 0, 0, 20, b'u', b'u', b'i', b'd', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[
            0, 0, 0, 1, b'm', b'd', b'a', b't', 255, 255, 255, 255, 255, 255, 255, 255,
        ],
        &[0, 0, 0, 9, b'f'],
    ] {
        let mut boxes = Boxes::new(bad);
        assert_eq!(
            boxes.next().unwrap().unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{bad:?}"
        );
        assert!(boxes.next().is_none());
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf([u8; 4], Vec<u8>),
    Node([u8; 4], Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let kind = prop_oneof![
        Just(*b"moof"),
        Just(*b"traf"),
        Just(*b"trun"),
        Just(*b"moov"),
        Just(*b"free")
    ];
    let leaf = (kind.clone(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, d)| Tree::Leaf(k, d));
    leaf.prop_recursive(4, 32, 5, move |inner| {
        (kind.clone(), prop::collection::vec(inner, 0..5)).prop_map(|(k, c)| Tree::Node(k, c))
    })
}

fn write(t: &Tree, w: &mut BoxWriter) {
    match t {
        Tree::Leaf(k, d) => w.boxed(k, |w| {
            w.bytes(d);
        }),
        Tree::Node(k, c) => w.boxed(k, |w| c.iter().for_each(|t| write(t, w))),
    };
}

fn check(t: &Tree, b: &BoxRef<'_>) {
    match t {
        Tree::Leaf(k, d) => assert_eq!((b.kind(), b.body()), (FourCc(*k), d.as_slice())),
        Tree::Node(k, c) => {
            assert_eq!(b.kind(), FourCc(*k));
            let children: Vec<_> = b.children().collect::<Result<_>>().unwrap();
            assert_eq!(children.len(), c.len());
            c.iter().zip(&children).for_each(|(t, b)| check(t, b));
        }
    }
}

fn walk(data: &[u8], depth: u32) {
    if depth < 8 {
        for b in Boxes::new(data).flatten() {
            walk(b.body(), depth + 1);
        }
    }
}

proptest! {
    #[test]
    fn trees_round_trip_and_truncations_do_not_panic(t in tree(), cut in any::<prop::sample::Index>()) {
        let mut w = BoxWriter::new();
        write(&t, &mut w);
        let bytes = w.into_bytes();
        check(&t, &Boxes::new(&bytes).next().unwrap().unwrap());
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(cut.is_empty() || cut.iter().all(|&b| b == 0) || Boxes::new(cut).next().unwrap().is_err());
        walk(cut, 0);
    }

    #[test]
    fn garbage_does_not_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        walk(&data, 0);
    }
}
