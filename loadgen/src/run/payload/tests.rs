use super::*;
use crate::run::random::Random;

fn request(payload: &Payload, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; payload.size(number)];
    payload.fill(number, 0, &mut bytes);
    bytes
}

#[test]
fn any_split_of_a_request_gives_the_same_bytes() {
    let payload = Payload::new(1, 2, &37_usize.into());
    let whole = request(&payload, 9);
    for from in 0..=37 {
        for to in from..=37 {
            let mut part = vec![0xee; to - from];
            payload.fill(9, from, &mut part);
            assert_eq!(part, whole[from..to], "{from}..{to}");
            assert_eq!(payload.verify(9, from, &part), Ok(()), "{from}..{to}");
        }
    }
    for (at, &byte) in whole.iter().enumerate() {
        assert_eq!(payload.byte(9, at), byte);
    }
}

#[test]
fn every_flipped_bit_is_found_where_it_is() {
    let payload = Payload::new(7, 0, &29_usize.into());
    let good = request(&payload, 3);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(payload.verify(3, 0, &bad), Err(at));
            if at >= 5 {
                assert_eq!(payload.verify(3, 5, &bad[5..]), Err(at - 5));
            }
        }
    }
}

#[test]
fn a_reply_to_another_request_differs() {
    for size in [1_usize, 2, 8, 13, 64] {
        let payload = Payload::new(42, 1, &size.into());
        for number in 0..200_u64 {
            let reply = request(&payload, number);
            assert!(
                payload.verify(number + 1, 0, &reply).is_err(),
                "size {size}, request {number}"
            );
        }
    }
}

#[test]
fn a_reply_to_another_connection_differs() {
    let size = 16_usize;
    for connection in 0..500 {
        let reply = request(&Payload::new(42, connection, &size.into()), 5);
        assert!(
            Payload::new(42, connection + 1, &size.into())
                .verify(5, 0, &reply)
                .is_err()
        );
    }
}

#[test]
fn a_lost_byte_is_found_within_the_request() {
    let payload = Payload::new(42, 1, &64_usize.into());
    let whole = request(&payload, 0);
    for lost in 0..48 {
        let mut shorter = whole.clone();
        shorter.remove(lost);
        // Bytes before the gap are right. The stream after it is off by one, which shows within
        // sixteen bytes.
        let wrong = payload
            .verify(0, 0, &shorter)
            .expect_err("a byte is missing");
        assert!(
            wrong >= lost && wrong < lost + 16,
            "lost {lost}, found {wrong}"
        );
    }
}

#[test]
fn another_seed_gives_other_bytes() {
    assert_ne!(
        request(&Payload::new(1, 0, &8_usize.into()), 0),
        request(&Payload::new(2, 0, &8_usize.into()), 0)
    );
}

#[test]
fn random_units_stay_in_range_and_average_a_half() {
    let mut random = Random::new(3);
    let mut sum = 0.0;
    for _ in 0..10_000 {
        let unit = random.next_unit();
        assert!(unit > 0.0 && unit <= 1.0);
        sum += unit;
    }
    assert!((sum / 10_000.0 - 0.5).abs() < 0.02);
}

#[test]
fn mixed_sizes_belong_to_request_and_connection() {
    let sizes = "8:1,24:1,100:2".parse().expect("sizes");
    let payload = Payload::new(5, 1, &sizes);
    let drawn = |payload: &Payload| -> Vec<_> { (0..200).map(|n| payload.size(n)).collect() };
    assert_eq!(drawn(&payload), drawn(&Payload::new(5, 1, &sizes)));
    assert_ne!(drawn(&payload), drawn(&Payload::new(5, 2, &sizes)));
    assert_ne!(drawn(&payload), drawn(&Payload::new(6, 1, &sizes)));
    for number in 0..200 {
        let bytes = request(&payload, number);
        assert_eq!(payload.verify(number, 0, &bytes), Ok(()));
    }
}

#[test]
fn a_header_is_the_first_four_bytes_from_any_position() {
    let plain = Payload::new(3, 7, &33.into());
    let payload = plain.clone().asking_for(0x0403_0201);
    let mut whole = [0; 33];
    payload.fill(5, 0, &mut whole);
    assert_eq!(whole[..4], [1, 2, 3, 4]);
    let mut others = [0; 33];
    plain.fill(5, 0, &mut others);
    assert_eq!(whole[4..], others[4..]);
    for from in 0..33 {
        for to in from..=33 {
            let mut part = vec![0; to - from];
            payload.fill(5, from, &mut part);
            assert_eq!(part, whole[from..to], "{from}..{to}");
            assert_eq!(payload.verify(5, from, &part), Ok(()), "{from}..{to}");
            if let Some(first) = part.first_mut() {
                *first ^= 0x80;
                assert_eq!(payload.verify(5, from, &part), Err(0), "{from}..{to}");
            }
        }
    }
}
