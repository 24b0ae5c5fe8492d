//! Codecs, as channels list them and as commands name them.

use super::word::{Word, is_made_of};

/// The codecs of a `variable_ep_codec_string`, in order, as `NAME@rateh@ptimei`, or `NAME~parameters` for video,
/// separated by `:`.
pub fn codecs(ep_codec_string: &str) -> Option<String> {
    let list: Vec<String> = ep_codec_string
        .split(',')
        .filter_map(|codec| {
            let (codec, fmtp) = codec.trim().split_once('~').unwrap_or((codec.trim(), ""));
            let mut parts = without_module(codec).split('@');
            // No `_`: between two colons it would begin another dial-string.
            let name = Word::new(parts.next()?)
                .map(Word::as_str)
                .filter(|name| !name.contains('_'))?;
            if let Some(fmtp) = parameters(fmtp) {
                return Some(format!("{name}~{fmtp}"));
            }
            let rest: String = parts
                .filter(|p| p.ends_with('h') || p.ends_with('i'))
                .filter_map(Word::new)
                .map(Word::as_str)
                .fold(String::new(), |all, part| all + "@" + part);
            Some(format!("{name}{rest}"))
        })
        .collect();
    (!list.is_empty()).then(|| list.join(":"))
}

/// Whether it is video: FreeSWITCH writes rate and packet time of audio only, and of video what the caller's `a=fmtp`
/// says.
pub(super) fn is_video(codec: &str) -> bool {
    codec.contains('~') || !codec.contains('@')
}

/// Whether a profile's codec is video, by its name there: `H264`, `mod_av.H264`, `VP8@90000h`.
pub fn is_name_of_video(codec: &str) -> bool {
    let name = name_of(codec).to_ascii_uppercase();
    name.starts_with("H26") || ["VP8", "VP9", "AV1"].contains(&&*name)
}

/// A caller's codecs, and more by name.
pub fn and_codecs(ep_codec_string: &str, more: &str) -> String {
    let known: Vec<_> = ep_codec_string.split(',').map(name_of).collect();
    let is_new = |codec: &&str| !known.iter().any(|name| name.eq_ignore_ascii_case(name_of(codec)));
    more.split(',')
        .filter(is_new)
        .fold(ep_codec_string.to_owned(), |all, codec| all + "," + codec)
}

/// Whether there is video in a `variable_ep_codec_string`.
pub fn has_video(ep_codec_string: &str) -> bool {
    ep_codec_string.split(',').any(|codec| is_video(codec.trim()))
}

/// The parameters of a video codec (RFC 6184: H.264's profile and level), if they are safe in a command. Phones need
/// them, but it is better to leave them out than to change them.
fn parameters(fmtp: &str) -> Option<String> {
    let text: String = fmtp.chars().filter(|c| *c != ' ').collect();
    is_made_of(&text, 160, b"=;-.+/").then_some(text)
}

/// The name of a codec of a `variable_ep_codec_string`.
pub(super) fn name_of(codec: &str) -> &str {
    let codec = codec.trim().split(['~', '@']).next().unwrap_or_default();
    without_module(codec)
}

/// A codec of a `variable_ep_codec_string` without the module that has it.
fn without_module(codec: &str) -> &str {
    codec.rsplit_once('.').map_or(codec, |(_module, codec)| codec)
}

pub(super) fn codec_list(codecs: &str) -> String {
    let is_codecs = |c: &char| c.is_ascii_alphanumeric() || "@,.:^_-".contains(*c);
    codecs.chars().filter(is_codecs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_strings_lose_module_and_bit_rate() {
        let ep = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,mod_opus.opus@48000h@20i@2c";
        assert_eq!(codecs(ep).as_deref(), Some("PCMU@8000h@20i:opus@48000h@20i"));
        let video = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,mod_h26x.H264~profile-level-id=42801F; packetization-mode=1,\
                     CORE_VPX_MODULE.VP8,mod_av.H263~a}{b";
        let safe = "PCMU@8000h@20i:H264~profile-level-id=42801F;packetization-mode=1:VP8:H263";
        assert_eq!(codecs(video).as_deref(), Some(safe));
        assert!(has_video(video) && !has_video(ep), "{video}, {ep}");
        assert_eq!(codecs("}evil{"), None);
        assert_eq!(codecs("PCMU,_,PCMA").as_deref(), Some("PCMU:PCMA"));
    }
}
