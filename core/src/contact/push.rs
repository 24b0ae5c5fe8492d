//! Push parameters of a URI, of whichever generation: RFC 8599, else an operator's or mod_apn's, else Linphone's old
//! ones.

use std::borrow::Cow;

use super::parameter::{Parameter, decode, unescape};
use super::tokens::{self, Slot};
use super::{AppIds, ContactWarning, ParamNames, ParamSet, Uri, apns, web_push};
use crate::types::{Provider, PushParams, PushToken, TokenFault, Tokens};

type Warnings = Vec<ContactWarning>;

/// Reads the push parameters. A Contact with any of RFC 8599's `pn-provider` and `pn-prid` is read by that RFC alone.
pub(super) fn read(uri: &Uri, names: &ParamNames, user_agent: &str, warnings: &mut Warnings) -> Option<PushParams> {
    let mut rfc: [Parameter<'_>; 3] = Default::default();
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
        return rfc_8599(uri, names, [provider, param, prid], warnings);
    }
    let own = names.sets.iter().filter(|set| set.is_for(user_agent));
    for set in own {
        let voip = Parameter::named(uri, &set.voip_token);
        let im = set
            .im_token
            .as_deref()
            .map(|name| Parameter::named(uri, name))
            .unwrap_or_default();
        if voip.is_given() || im.is_given() {
            return named_set(uri, set, [voip, im], &names.apps, warnings);
        }
    }
    linphone(uri, &names.apps, warnings)
}

fn rfc_8599(
    uri: &Uri,
    names: &ParamNames,
    [provider, param, prid]: [Parameter<'_>; 3],
    warnings: &mut Warnings,
) -> Option<PushParams> {
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
    let Some(written) = prid.value.filter(|value| !value.is_empty()) else {
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
    if provider == Provider::WebPush {
        let token = web_push::token(uri, &names.web_push, written, warnings)?;
        return Some(PushParams {
            provider,
            app: param.into(),
            team: None,
            tokens: Tokens::Call(token),
        });
    }
    // Of several tokens the one that is odd does not cost the other: each is looked at by itself.
    let read = if provider.has_topics() { unescape } else { decode };
    let refused = |why| warnings.push(ContactWarning::Refused { name: "pn-prid", why });
    let prid = read(written).map_err(refused).ok()?;
    if !provider.has_topics() {
        let token = Some(PushToken::read(&provider, &prid));
        let tokens = tokens::sort(("pn-prid", token), ("pn-prid", None), false, warnings)?;
        return Some(PushParams {
            provider,
            app: param.into(),
            team: None,
            tokens,
        });
    }
    let app = apns::app(&param, &provider, &names.apps);
    let tokens = apns::tokens(&prid, &app, &provider, warnings)?;
    Some(PushParams {
        app: app.bundle.into(),
        team: app.team.map(Into::into),
        provider,
        tokens,
    })
}

fn named_set(
    uri: &Uri,
    set: &ParamSet,
    [voip, im]: [Parameter<'_>; 2],
    apps: &AppIds,
    warnings: &mut Warnings,
) -> Option<PushParams> {
    let optional = |name: &Option<String>| {
        name.as_deref()
            .map(|name| Parameter::named(uri, name))
            .unwrap_or_default()
    };
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
    let app = app.decoded("(app id)", warnings).ok()?.unwrap_or_default();
    let platform = platform.decoded("(platform)", warnings).ok()?;
    let texts = [voip.text(), im.text()];
    let sent: Vec<&str> = texts.iter().flatten().flatten().map(AsRef::as_ref).collect();
    let provider = set
        .provider_of(platform.as_deref())
        .unwrap_or_else(|| platform_provider(platform.as_deref(), &sent, &app, apps, warnings));
    let read = |text: Result<Cow<'_, str>, TokenFault>| -> Slot { PushToken::read(&provider, &text?) };
    let [voip, im] = texts.map(|text| text.map(read));
    let voip_and_im = (("(call token)", voip), ("(message token)", im));
    let tokens = tokens::sort(voip_and_im.0, voip_and_im.1, provider.has_topics(), warnings)?;
    Some(PushParams {
        app: apps.find(&provider, &[&app]).unwrap_or(&app).into(),
        provider,
        team: None,
        tokens,
    })
}

/// `app-id`, `pn-type` and `pn-tok`, as Linphone wrote them before RFC 8599.
///
/// On Apple's side `app-id` is the bundle id, then `.voip` for a PushKit token, then `.prod` or `.dev` (sandbox). With
/// an environment but without `.voip` it is Linphone's remote token; with neither (Kazoo's form) it is taken for the
/// call token.
///
/// A bundle id may end in `.dev` or `.prod` itself: what is configured decides.
fn linphone(uri: &Uri, apps: &AppIds, warnings: &mut Warnings) -> Option<PushParams> {
    let token = Parameter::named(uri, "pn-tok");
    if !token.is_given() {
        return None;
    }
    let (app, platform) = (Parameter::named(uri, "app-id"), Parameter::named(uri, "pn-type"));
    let sound = [
        token.is_sound("pn-tok", warnings),
        app.is_sound("app-id", warnings),
        platform.is_sound("pn-type", warnings),
    ];
    if sound.contains(&false) {
        return None;
    }
    let app = app.decoded("app-id", warnings).ok()?.unwrap_or_default();
    let platform = platform.decoded("pn-type", warnings).ok()?;
    let text = token.text()?;
    let sent: Vec<&str> = text.iter().map(AsRef::as_ref).collect();
    let provider = platform_provider(platform.as_deref(), &sent, &app, apps, warnings);
    let token = text.and_then(|text| PushToken::read(&provider, &text));
    let read = if provider == Provider::Apns {
        apple(&app, apps)
    } else {
        Apple {
            provider,
            app: &app,
            for_calls: Some(true),
        }
    };
    let is_said = read.for_calls.is_some();
    let slots = if read.for_calls.unwrap_or(true) {
        (Some(token), None)
    } else {
        (None, Some(token))
    };
    let tokens = tokens::sort(("pn-tok", slots.0), ("pn-tok", slots.1), false, warnings)?;
    if !is_said {
        warnings.push(ContactWarning::AssumedCall);
    }
    Some(PushParams {
        provider: read.provider,
        app: read.app.into(),
        team: None,
        tokens,
    })
}

/// The parts of a legacy `app-id`.
struct Apple<'a> {
    provider: Provider,
    app: &'a str,
    /// Whether the token is for calls; `None` when it does not say.
    for_calls: Option<bool>,
}

fn apple<'a>(app: &'a str, apps: &'a AppIds) -> Apple<'a> {
    let sandbox = app.strip_suffix(".dev");
    let environment = sandbox.or(app.strip_suffix(".prod"));
    let provider = if sandbox.is_some() {
        Provider::ApnsSandbox
    } else {
        Provider::Apns
    };
    let topic = environment.unwrap_or(app);
    let bundle = topic.strip_suffix(".voip");
    let for_calls = match (bundle, environment) {
        (Some(_), _) => Some(true),
        (None, Some(_)) => Some(false),
        (None, None) => None,
    };
    let as_it_reads = bundle.unwrap_or(topic);
    if let Some(configured) = apps.find(&provider, &[as_it_reads]) {
        return Apple {
            provider,
            app: configured,
            for_calls,
        };
    }
    if let Some(configured) = environment.and_then(|_| apps.find(&Provider::Apns, &[app])) {
        return Apple {
            provider: Provider::Apns,
            app: configured,
            for_calls: None,
        };
    }
    Apple {
        provider,
        app: as_it_reads,
        for_calls,
    }
}

/// The provider of an older set's phone. Where no platform says it, the only app with this id that is configured does,
/// else the token's shape.
fn platform_provider(
    platform: Option<&str>,
    tokens: &[&str],
    app: &str,
    apps: &AppIds,
    warnings: &mut Warnings,
) -> Provider {
    let platform = platform.unwrap_or_default();
    if platform.is_empty()
        && let Some(provider) = apps.provider_of(app)
    {
        return provider.clone();
    }
    let provider = provider_of_platform(platform, tokens);
    if matches!(provider, Provider::Other(_)) {
        warnings.push(ContactWarning::UnknownPlatform);
    }
    provider
}

/// The provider of an older set's platform. An unknown platform is a provider of that name, lower case; without a
/// platform 64 hexadecimal digits or more are taken for an Apple token (32 bytes; newer ones are longer), anything else
/// has the provider `unknown`.
pub fn provider_of_platform(platform: &str, tokens: &[&str]) -> Provider {
    let name = platform.to_ascii_lowercase();
    let is_apples = |token: &&str| token.len() >= 64 && PushToken::read(&Provider::Apns, token).is_ok();
    match name.as_str() {
        "ios" | "apple" | "apns" => Provider::Apns,
        "apns.dev" => Provider::ApnsSandbox,
        "android" | "firebase" | "google" | "fcm" => Provider::Fcm,
        "" if tokens.iter().any(is_apples) => Provider::Apns,
        other => Provider::from_name(if other.is_empty() { "unknown" } else { other }),
    }
}
