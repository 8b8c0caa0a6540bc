//! What is probed: addresses, and the short names that stand for them.
//!
//! Must never show the user, password or query of an address. Called by the source.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::collect::names::excerpt;

/// All are asked at once, in every round.
pub(super) const MOST_URLS: usize = 100;
/// Longest name in characters.
const LONGEST: usize = 80;

/// One address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What its values are filed under: `shop.example/healthz`, `db:5432`.
    pub name: String,
    pub url: Url,
    /// Where to connect: for `tcp://`, and for a look at the certificate.
    pub host: String,
    pub port: u16,
}

impl Place {
    /// Is it enough that somebody accepts?
    pub fn is_tcp(&self) -> bool {
        self.url.scheme() == "tcp"
    }

    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The address as it may be shown.
    pub fn shown(&self) -> String {
        let path = if self.is_tcp() { "" } else { self.url.path() };
        format!("{}://{}{}", self.url.scheme(), authority(&self.url), excerpt(path, LONGEST))
    }
}

/// Reads the addresses of the config.
pub(super) fn of_urls(urls: &[String]) -> Result<Vec<Place>, String> {
    if urls.is_empty() {
        return Err("nothing to probe: give `urls`".to_owned());
    }
    if urls.len() > MOST_URLS {
        return Err(format!("more than {MOST_URLS} addresses: make several sources of them"));
    }
    let mut places: Vec<Place> = urls.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    for (at, place) in places.iter().enumerate() {
        if places.iter().take(at).any(|earlier| earlier.url == place.url) {
            return Err(format!("{} is named twice: take one away", place.shown()));
        }
    }
    // Where short names are the same, longer ones, and at last numbers.
    tell_apart(&mut places, |_, place| excerpt(&place.shown(), LONGEST));
    tell_apart(&mut places, |nth, place| format!("{} ({})", place.name, nth + 1));
    Ok(places)
}

fn tell_apart(places: &mut [Place], longer: impl Fn(usize, &Place) -> String) {
    let mut names = BTreeMap::<String, usize>::new();
    for place in places.iter() {
        *names.entry(place.name.clone()).or_default() += 1;
    }
    for (nth, place) in places.iter_mut().enumerate() {
        if names.get(&place.name).is_some_and(|count| *count > 1) {
            place.name = longer(nth, place);
        }
    }
}

fn parse(text: &str) -> Result<Place, String> {
    let bad = || "one of the `urls` is no address like https://shop.example/healthz or tcp://db:5432".to_owned();
    let url = Url::parse(text).map_err(|_| bad())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match url.scheme() {
        "http" | "https" => url.port_or_known_default().ok_or_else(bad)?,
        "tcp" => url.port().ok_or_else(|| format!("tcp://{} has no port", excerpt(&host, LONGEST)))?,
        _ => return Err(bad()),
    };
    let path = match url.path() {
        "/" => "",
        _ if url.scheme() == "tcp" => "",
        path => path,
    };
    let name = excerpt(&format!("{}{path}", authority(&url)), LONGEST);
    Ok(Place { name, host, port, url })
}

/// `host`, or `host:port` where the port is not the usual one.
fn authority(url: &Url) -> String {
    let host = excerpt(url.host_str().unwrap_or("?"), LONGEST);
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(urls: &[&str]) -> Vec<String> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        of_urls(&urls).unwrap().into_iter().map(|place| place.name).collect()
    }

    #[test]
    fn names_are_short_and_tell_apart() {
        assert_eq!(
            names(&["https://shop.example/healthz", "https://shop.example/", "tcp://db:5432", "tcp://[::1]:80/x"]),
            ["shop.example/healthz", "shop.example", "db:5432", "[::1]:80"]
        );
        assert_eq!(names(&["http://a/", "https://a/"]), ["http://a/", "https://a/"]);
        assert_eq!(names(&["http://a/?b=1", "http://a/?b=2"]), ["http://a/ (1)", "http://a/ (2)"]);
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let places = of_urls(&["https://me:hunter2@a:8443/x?token=hunter2".to_owned()]).unwrap();
        assert_eq!((places[0].name.as_str(), places[0].shown().as_str()), ("a:8443/x", "https://a:8443/x"));
    }

    #[test]
    fn what_cannot_be_probed_is_refused() {
        for urls in [&[][..], &["ftp://a/"], &["tcp://a"], &["a:80"], &["https://"], &["http://a/", "http://a"]] {
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            assert!(of_urls(&urls).is_err(), "{urls:?}");
        }
        assert!(of_urls(&vec!["http://a/".to_owned(); 101]).unwrap_err().contains("several sources"));
    }
}
