//! A payload that only the phone can read: RFC 8291 on top of RFC 8188 (`aes128gcm`), in one record.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::types::SubscriptionKeys;

/// What encryption adds to a payload, in bytes: salt, record size, key id with its length, the delimiter of the last
/// record, and the tag.
pub(crate) const OVERHEAD: usize = SALT + 4 + 1 + POINT + 1 + 16;
const SALT: usize = 16;
/// An uncompressed point of P-256.
const POINT: usize = 65;
/// Larger than any record: what is sent is one.
const RECORD_SIZE: u32 = 4096;
/// The delimiter of the last record (RFC 8188 section 2).
const LAST: u8 = 2;

/// The body of a push: encrypted with a key and a salt that are used once.
///
/// # Errors
/// When the phone's key is not a point of the curve.
pub(crate) fn encrypt(to: &SubscriptionKeys, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut salt = [0; SALT];
    aws_lc_rs::rand::fill(&mut salt)?;
    seal(to, plain, &PrivateKey::generate(&ECDH_P256)?, &salt)
}

fn seal(to: &SubscriptionKeys, plain: &[u8], own: &PrivateKey, salt: &[u8; SALT]) -> Result<Vec<u8>, Unspecified> {
    let public = own.compute_public_key()?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &to.p256dh);
    // RFC 8291 section 3.4.
    let input = agree(own, theirs, Unspecified, |shared| {
        let context: [&[u8]; 3] = [b"WebPush: info\0", &to.p256dh, public.as_ref()];
        expand::<32>(&Salt::new(HKDF_SHA256, &to.auth).extract(shared), &context)
    })?;
    // RFC 8188 section 2.
    let key = Salt::new(HKDF_SHA256, salt).extract(&input);
    let secret: [u8; 16] = expand(&key, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(&key, &[b"Content-Encoding: nonce\0"])?;
    let mut record = [plain, &[LAST]].concat();
    // The nonce of the first record is the one that was derived: its number is 0.
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &secret)?).seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut record,
    )?;
    let id_length = u8::try_from(public.as_ref().len()).map_err(|_| Unspecified)?;
    Ok([
        &salt[..],
        &RECORD_SIZE.to_be_bytes(),
        &[id_length],
        public.as_ref(),
        &record,
    ]
    .concat())
}

/// HKDF-Expand of so many bytes.
fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    key.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8291 section 5 and appendix A.
    #[test]
    fn example_of_rfc_8291_gives_its_message() {
        let keys = SubscriptionKeys {
            p256dh: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        };
        let own: [u8; 32] = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let sealed = seal(&keys, b"When I grow up, I want to be a watermelon", &own, &salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
                        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(&sealed), expected);
        assert_eq!(sealed.len(), 41 + OVERHEAD);
    }

    #[test]
    fn no_two_messages_are_alike_and_a_point_off_the_curve_is_refused() {
        let mut keys = SubscriptionKeys {
            p256dh: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            auth: [7; 16],
        };
        let [one, two] = [(); 2].map(|()| encrypt(&keys, b"same").unwrap());
        assert_ne!(one[..SALT], two[..SALT]);
        assert_ne!(one[SALT + 5..SALT + 5 + POINT], two[SALT + 5..SALT + 5 + POINT]);
        keys.p256dh[64] ^= 1;
        assert!(encrypt(&keys, b"same").is_err());
    }
}
