//! Push parameters of a URI, of whichever generation: RFC 8599, else an operator's or mod_apn's, else Linphone's old ones.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode_str;

use super::{ContactWarning, MAX_TOKEN, ParamNames, ParamSet, Refusal, Uri, apns};
use crate::types::{Provider, PushParams, PushToken};

type Warnings = Vec<ContactWarning>;

/// One parameter as it was found in a URI.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    value: Option<&'a str>,
    times: u8,
    differs: bool,
}

impl<'a> Given<'a> {
    fn add(&mut self, value: Option<&'a str>) {
        self.differs |= self.times > 0 && self.value != value;
        self.times = self.times.saturating_add(1);
        self.value = value;
    }

    fn named(uri: &'a Uri, name: &str) -> Self {
        let mut given = Self::default();
        for (_, value) in uri.params().filter(|(own, _)| own.eq_ignore_ascii_case(name)) {
            given.add(value);
        }
        given
    }

    fn is_given(&self) -> bool {
        self.times > 0
    }

    /// Whether it may be used at all: not if it came twice and differs.
    fn is_sound(&self, name: &'static str, warnings: &mut Warnings) -> bool {
        if self.differs {
            warnings.push(ContactWarning::Contradictory(name));
        } else if self.times > 1 {
            warnings.push(ContactWarning::Repeated(name));
        }
        !self.differs
    }

    /// Its value, decoded; `Ok(None)` when there is none.
    fn decoded(&self, name: &'static str, warnings: &mut Warnings) -> Result<Option<Cow<'a, str>>, ()> {
        match self.value {
            None | Some("") => Ok(None),
            Some(value) => decode(value)
                .map(Some)
                .map_err(|why| warnings.push(ContactWarning::Refused { name, why })),
        }
    }
}

/// Reads the push parameters. A Contact with any of RFC 8599's `pn-provider` and `pn-prid` is read by that RFC alone.
pub(super) fn read(uri: &Uri, names: &ParamNames, user_agent: &str, warnings: &mut Warnings) -> Option<PushParams> {
    let mut rfc: [Given<'_>; 3] = Default::default();
    for (name, value) in uri.params() {
        // Most parameters are none of these; the length settles it.
        let slot = match name.len() {
            11 if name.eq_ignore_ascii_case("pn-provider") => 0,
            8 if name.eq_ignore_ascii_case("pn-param") => 1,
            7 if name.eq_ignore_ascii_case("pn-prid") => 2,
            _ => continue,
        };
        rfc[slot].add(value);
    }
    let [provider, param, prid] = rfc;
    if provider.is_given() || prid.is_given() {
        return rfc_8599(provider, param, prid, warnings);
    }
    let own = names.0.iter().filter(|set| set.is_for(user_agent));
    for set in own {
        let voip = Given::named(uri, &set.voip_token);
        let im = set
            .im_token
            .as_deref()
            .map(|name| Given::named(uri, name))
            .unwrap_or_default();
        if voip.is_given() || im.is_given() {
            return named_set(uri, set, voip, im, warnings);
        }
    }
    linphone(uri, warnings)
}

fn rfc_8599(provider: Given<'_>, param: Given<'_>, prid: Given<'_>, warnings: &mut Warnings) -> Option<PushParams> {
    // Each is looked at, so that each gives its warning.
    let sound = [
        provider.is_sound("pn-provider", warnings),
        param.is_sound("pn-param", warnings),
        prid.is_sound("pn-prid", warnings),
    ];
    if sound.contains(&false) {
        return None;
    }
    if !prid.is_given() {
        // A query (RFC 8599 section 4.1.3), or the removal of a token (4.1.4): nothing wrong.
        return None;
    }
    let prid = prid.decoded("pn-prid", warnings).ok()?;
    let Some(prid) = prid else {
        warnings.push(ContactWarning::NoToken("pn-prid"));
        return None;
    };
    let provider = provider.decoded("pn-provider", warnings).ok()?;
    let Some(provider) = provider else {
        warnings.push(ContactWarning::NoProvider);
        return None;
    };
    let param = param.decoded("pn-param", warnings).ok()?.unwrap_or_default();
    let provider = Provider::from_name(&provider);
    if !matches!(provider, Provider::Apns | Provider::ApnsSandbox) {
        return Some(PushParams {
            provider,
            app: param.into(),
            team: None,
            call_token: Some(PushToken::new(prid)),
            remote_token: None,
        });
    }
    let app = apns::app(&param);
    let tokens = apns::tokens(&prid, &app, warnings)?;
    Some(PushParams {
        provider,
        app: app.bundle.into(),
        team: app.team.map(Into::into),
        call_token: tokens.call,
        remote_token: tokens.remote,
    })
}

fn named_set(uri: &Uri, set: &ParamSet, voip: Given<'_>, im: Given<'_>, warnings: &mut Warnings) -> Option<PushParams> {
    let optional = |name: &Option<String>| name.as_deref().map(|name| Given::named(uri, name)).unwrap_or_default();
    let (app, platform) = (optional(&set.app_id), optional(&set.platform));
    let sound = [
        voip.is_sound("(call token)", warnings),
        im.is_sound("(message token)", warnings),
        app.is_sound("(app id)", warnings),
        platform.is_sound("(platform)", warnings),
    ];
    if sound.contains(&false) {
        return None;
    }
    let voip = voip.decoded("(call token)", warnings).ok()?;
    let im = im.decoded("(message token)", warnings).ok()?;
    let app = app.decoded("(app id)", warnings).ok()?.unwrap_or_default();
    let platform = platform.decoded("(platform)", warnings).ok()?;
    let Some(token) = voip.as_deref().or(im.as_deref()) else {
        warnings.push(ContactWarning::NoToken("(call token)"));
        return None;
    };
    Some(PushParams {
        provider: set
            .provider_of(platform.as_deref())
            .unwrap_or_else(|| platform_provider(platform.as_deref(), token, warnings)),
        app: app.into(),
        team: None,
        call_token: voip.map(PushToken::new),
        remote_token: im.map(PushToken::new),
    })
}

/// `app-id`, `pn-type` and `pn-tok`, as Linphone wrote them before RFC 8599.
///
/// On Apple's side `app-id` is the bundle id, then `.voip` for a PushKit token, then `.prod` or `.dev` (sandbox). With an
/// environment but without `.voip` it is Linphone's remote token; with neither (Kazoo's form) it is taken for the call token.
fn linphone(uri: &Uri, warnings: &mut Warnings) -> Option<PushParams> {
    let token = Given::named(uri, "pn-tok");
    if !token.is_given() {
        return None;
    }
    let (app, platform) = (Given::named(uri, "app-id"), Given::named(uri, "pn-type"));
    let sound = [
        token.is_sound("pn-tok", warnings),
        app.is_sound("app-id", warnings),
        platform.is_sound("pn-type", warnings),
    ];
    if sound.contains(&false) {
        return None;
    }
    let Some(token) = token.decoded("pn-tok", warnings).ok()? else {
        warnings.push(ContactWarning::NoToken("pn-tok"));
        return None;
    };
    let app = app.decoded("app-id", warnings).ok()?.unwrap_or_default();
    let platform = platform.decoded("pn-type", warnings).ok()?;
    let provider = platform_provider(platform.as_deref(), &token, warnings);
    let token = Some(PushToken::new(token));
    if provider != Provider::Apns {
        return Some(PushParams {
            provider,
            app: app.into(),
            team: None,
            call_token: token,
            remote_token: None,
        });
    }
    let sandbox = app.strip_suffix(".dev");
    let environment = sandbox.or(app.strip_suffix(".prod"));
    let topic = environment.unwrap_or(&app);
    let bundle = topic.strip_suffix(".voip");
    let for_calls = bundle.is_some() || environment.is_none();
    if for_calls && bundle.is_none() {
        warnings.push(ContactWarning::AssumedCall);
    }
    let (call_token, remote_token) = if for_calls { (token, None) } else { (None, token) };
    Some(PushParams {
        provider: if sandbox.is_some() {
            Provider::ApnsSandbox
        } else {
            Provider::Apns
        },
        app: bundle.unwrap_or(topic).into(),
        team: None,
        call_token,
        remote_token,
    })
}

fn platform_provider(platform: Option<&str>, token: &str, warnings: &mut Warnings) -> Provider {
    let provider = provider_of_platform(platform.unwrap_or_default(), token);
    if matches!(provider, Provider::Other(_)) {
        warnings.push(ContactWarning::UnknownPlatform);
    }
    provider
}

/// The provider of an older set's platform. An unknown platform is a provider of that name, lower case; without a platform
/// 64 hexadecimal digits are taken for an Apple token, anything else has the provider `unknown`.
pub fn provider_of_platform(platform: &str, token: &str) -> Provider {
    let name = platform.to_ascii_lowercase();
    match name.as_str() {
        "ios" | "apple" | "apns" => Provider::Apns,
        "apns.dev" => Provider::ApnsSandbox,
        "android" | "firebase" | "google" | "fcm" => Provider::Fcm,
        "" if token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()) => Provider::Apns,
        other => Provider::Other(if other.is_empty() { "unknown" } else { other }.into()),
    }
}

/// Decodes a value once (RFC 3261 section 19.1.2; `+` stands for itself) and refuses what no token or app name holds.
pub fn decode(value: &str) -> Result<Cow<'_, str>, Refusal> {
    // Without a way out in the middle, so that it runs on many bytes at a time.
    let graphic = |s: &str| s.bytes().fold(true, |all, b| all & b.is_ascii_graphic());
    let decoded = if memchr(b'%', value.as_bytes()).is_some() {
        let bytes = value.as_bytes();
        let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        let mut percents = value.match_indices('%');
        if !percents.all(|(at, _)| is_hex(at + 1) && is_hex(at + 2)) {
            return Err(Refusal::BadEscape);
        }
        percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| Refusal::BadCharacter)?
    } else {
        Cow::Borrowed(value)
    };
    if decoded.len() > MAX_TOKEN {
        return Err(Refusal::TooLong);
    }
    if !graphic(&decoded) {
        return Err(Refusal::BadCharacter);
    }
    Ok(decoded)
}
