//! The words of the pages. Every text is a field of [`Texts`], so a language that misses one
//! does not compile; what belongs to an enum is a `match` without catch-all.

use serde::Serialize;

use super::pages::ChannelState;
use crate::gate::{Operation, Phase, Turn};

/// A language the pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    En,
    Fr,
}

impl Lang {
    /// The language a browser likes best (RFC 9110, 12.5.4): the highest weight wins, the
    /// earlier of two equal ones, English where neither is wanted.
    pub fn choose(accept_language: Option<&str>) -> Self {
        let mut best = (Self::En, 0);
        for range in accept_language.unwrap_or_default().split(',') {
            let mut pieces = range.split(';').map(str::trim);
            let tag = pieces.next().unwrap_or_default();
            let Some(lang) = Self::of_tag(tag) else { continue };
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1_000, weight);
            if weight > best.1 {
                best = (lang, weight);
            }
        }
        best.0
    }

    fn of_tag(tag: &str) -> Option<Self> {
        match tag.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "fr" => Some(Self::Fr),
            _ => None,
        }
    }

    /// The tag for `lang=` and `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    pub(super) fn texts(self) -> &'static Texts {
        match self {
            Self::En => &ENGLISH,
            Self::Fr => &FRENCH,
        }
    }

    /// One sentence that says how a channel stands.
    pub(super) fn state(self, state: ChannelState) -> &'static str {
        self.texts().player.says.of(state)
    }

    /// One word for the same.
    pub(super) fn badge(self, state: ChannelState) -> &'static str {
        self.texts().player.badges.of(state)
    }

    pub(super) fn phase(self, phase: Phase) -> &'static str {
        let (en, fr) = match phase {
            Phase::Open => ("Everything is open.", "Tout est ouvert."),
            Phase::Announced => (
                "The end is announced. Broadcasting still works.",
                "La fin est annoncée. On peut encore diffuser.",
            ),
            Phase::ClaimsClosed => (
                "Payouts can no longer be requested. Broadcasting still works.",
                "Les paiements ne peuvent plus être demandés. On peut encore diffuser.",
            ),
            Phase::Finishing => (
                "No new broadcast can start. What is running may finish.",
                "Aucune nouvelle diffusion ne peut commencer. Celles en cours peuvent se terminer.",
            ),
            Phase::ReadOnly => (
                "Broadcasting has ended. What was made can still be read and taken away.",
                "Les diffusions sont terminées. Ce qui a été créé reste lisible et récupérable.",
            ),
            Phase::Settled => (
                "Broadcasting has ended and all payouts are settled.",
                "Les diffusions sont terminées et tous les paiements sont réglés.",
            ),
            Phase::ExportOnly => (
                "Only the export of your own data is left.",
                "Il ne reste que l’export de vos propres données.",
            ),
            Phase::Gone => ("The service has ended.", "Le service a pris fin."),
        };
        self.pick(en, fr)
    }

    pub(super) fn turn(self, turn: Turn) -> &'static str {
        let (en, fr) = match turn {
            Turn::Announced => ("The end is announced", "Annonce de la fin"),
            Turn::KeysClose => {
                ("No new channels and stream keys", "Plus de nouvelles chaînes ni clés")
            }
            Turn::ClaimsClose => ("No more payout requests", "Plus de demandes de paiement"),
            Turn::PublishClose => ("No new broadcasts", "Plus de nouvelles diffusions"),
            Turn::FinishUntil => {
                ("The last running broadcasts end", "Fin des dernières diffusions en cours")
            }
            Turn::Settle => ("Payouts are settled", "Les paiements sont réglés"),
            Turn::ArchiveClose => ("The archive closes", "L’archive ferme"),
            Turn::Gone => ("Everything is gone", "Tout a disparu"),
        };
        self.pick(en, fr)
    }

    pub(super) fn operation(self, operation: Operation) -> &'static str {
        let (en, fr) = match operation {
            Operation::CreateChannel => ("Create a channel", "Créer une chaîne"),
            Operation::CreateKey => ("Create a stream key", "Créer une clé de diffusion"),
            Operation::RotateKey => ("Replace a stream key", "Remplacer une clé de diffusion"),
            Operation::RevokeKey => ("Revoke a stream key", "Révoquer une clé de diffusion"),
            Operation::Start => ("Start a broadcast", "Commencer une diffusion"),
            Operation::Resume => {
                ("Resume a broadcast after a break", "Reprendre une diffusion interrompue")
            }
            Operation::Keep => ("Keep broadcasting", "Continuer une diffusion"),
            Operation::WatchLive => ("Watch live", "Regarder en direct"),
            Operation::ReadStatus => ("Read this page", "Lire cette page"),
        };
        self.pick(en, fr)
    }

    fn pick(self, en: &'static str, fr: &'static str) -> &'static str {
        match self {
            Self::En => en,
            Self::Fr => fr,
        }
    }
}

/// A quality value in thousandths; what is no number counts as unwanted.
fn weight(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.chars().chain("000".chars()).take(3).collect::<String>();
    match (whole, digits.parse()) {
        ("1", Ok(0)) => 1_000,
        ("0", Ok(thousandths)) => thousandths,
        _ => 0,
    }
}

/// The texts of the server-rendered pages.
#[derive(Debug)]
pub(super) struct Texts {
    pub skip: &'static str,
    pub home: &'static str,
    pub rehearsal: &'static str,
    pub closing_notice: &'static str,
    pub closed_notice: &'static str,
    pub more: &'static str,
    pub sunset: &'static str,
    pub licences: &'static str,
    pub on_stage: &'static str,
    pub empty: &'static str,
    pub empty_more: &'static str,
    pub publish: &'static str,
    pub publish_server: &'static str,
    pub publish_this_host: &'static str,
    pub publish_key: &'static str,
    pub publish_key_hint: &'static str,
    pub publish_obs: &'static str,
    pub publish_keyframes: &'static str,
    pub since: &'static str,
    pub without_script: &'static str,
    pub for_broadcaster: &'static str,
    pub not_found: &'static str,
    pub not_found_more: &'static str,
    pub gone: &'static str,
    pub gone_channel: &'static str,
    pub no_end: &'static str,
    pub no_end_more: &'static str,
    pub now: &'static str,
    pub next: &'static str,
    pub schedule: &'static str,
    pub what: &'static str,
    pub utc: &'static str,
    pub operator_time: &'static str,
    pub your_time: &'static str,
    pub still_works: &'static str,
    pub still_works_until: &'static str,
    pub works: &'static str,
    pub works_running: &'static str,
    pub works_not: &'static str,
    pub history: &'static str,
    pub history_declared: &'static str,
    pub history_closed: &'static str,
    pub history_reopened: &'static str,
    pub machine: &'static str,
    pub passed: &'static str,
    pub player: PlayerTexts,
}

/// The texts that the player's script needs too; they reach it as JSON in an attribute.
#[derive(Debug, Serialize)]
pub(super) struct PlayerTexts {
    /// Sentences for the middle of the stage, words for beside it.
    pub says: StateTexts,
    pub badges: StateTexts,
    pub reconnecting: &'static str,
    pub unreachable: &'static str,
    pub unsupported: &'static str,
    pub behind: &'static str,
    pub go_live: &'static str,
    pub play: &'static str,
    pub pause: &'static str,
    pub mute: &'static str,
    pub unmute: &'static str,
    pub volume: &'static str,
    pub seek: &'static str,
    pub pip: &'static str,
    pub fullscreen: &'static str,
    pub exit_fullscreen: &'static str,
    pub help: &'static str,
    pub close: &'static str,
    pub key_space: &'static str,
    pub key_arrows: &'static str,
    pub key_volume: &'static str,
    pub advice_keyframes: &'static str,
}

/// One text for each state of a channel.
#[derive(Debug, Serialize)]
pub(super) struct StateTexts {
    pub offline: &'static str,
    pub starting: &'static str,
    pub live: &'static str,
    pub away: &'static str,
    pub ended: &'static str,
    pub closed: &'static str,
}

impl StateTexts {
    fn of(&self, state: ChannelState) -> &'static str {
        match state {
            ChannelState::Offline => self.offline,
            ChannelState::Starting => self.starting,
            ChannelState::Live => self.live,
            ChannelState::Away => self.away,
            ChannelState::Ended => self.ended,
            ChannelState::Closed => self.closed,
        }
    }
}

static ENGLISH: Texts = Texts {
    skip: "Skip to the content",
    home: "All channels",
    rehearsal: "Rehearsal: this server runs at a simulated time. Nothing here is real.",
    closing_notice: "New broadcasts end on",
    closed_notice: "New broadcasts ended on",
    more: "What this means",
    sunset: "How this service ends",
    licences: "Licences",
    on_stage: "On stage now",
    empty: "The stage is empty.",
    empty_more: "The ghost light is on. When somebody goes live, they appear here by themselves.",
    publish: "Go live",
    publish_server: "Server",
    publish_this_host: "this-server",
    publish_key: "Stream key",
    publish_key_hint: "printed once at the first start, or made by",
    publish_obs: "In OBS: Settings, Stream, Service “Custom…”.",
    publish_keyframes: "Set the keyframe interval to 2 s for the shortest delay.",
    since: "since",
    without_script: "Without JavaScript your browser plays the stream itself, a few seconds later.",
    for_broadcaster: "For the broadcaster",
    not_found: "Nothing is on this stage.",
    not_found_more: "No channel has this name, or the address has a typo.",
    gone: "This has ended.",
    gone_channel: "Channel",
    no_end: "This service has no declared end.",
    no_end_more: "When its operator declares one, it will stand here, to the second, before it \
                  comes.",
    now: "Now",
    next: "Next",
    schedule: "What closes when",
    what: "What",
    utc: "UTC",
    operator_time: "Operator’s time",
    your_time: "Your time",
    still_works: "What still works",
    still_works_until: "until",
    works: "works",
    works_running: "only what already runs",
    works_not: "closed",
    history: "Changes of this schedule",
    history_declared: "Declared:",
    history_closed: "Closed:",
    history_reopened: "Reopened by the operator:",
    machine: "The same for machines",
    passed: "passed",
    player: PlayerTexts {
        says: StateTexts {
            offline: "Offline. It starts here by itself when the channel goes live.",
            starting: "Starting…",
            live: "Live",
            away: "The broadcaster’s connection broke. The picture comes back by itself.",
            ended: "The broadcast has ended.",
            closed: "This service takes no new broadcasts any more.",
        },
        badges: StateTexts {
            offline: "Offline",
            starting: "Starting",
            live: "Live",
            away: "Interrupted",
            ended: "Ended",
            closed: "Closed",
        },
        reconnecting: "Reconnecting…",
        unreachable: "The server cannot be reached. Trying again…",
        unsupported: "This browser cannot play this stream.",
        behind: "behind",
        go_live: "Go to live",
        play: "Play",
        pause: "Pause",
        mute: "Mute",
        unmute: "Turn sound on",
        volume: "Volume",
        seek: "Position",
        pip: "Picture in picture",
        fullscreen: "Full screen",
        exit_fullscreen: "Leave full screen",
        help: "Keyboard",
        close: "Close",
        key_space: "Play, pause",
        key_arrows: "Back, forward 5 s",
        key_volume: "Volume",
        advice_keyframes: "Your encoder sends a keyframe every {seconds} s. Set its keyframe \
                           interval to {wanted} s: viewers start faster and are less behind.",
    },
};

static FRENCH: Texts = Texts {
    skip: "Aller au contenu",
    home: "Toutes les chaînes",
    rehearsal: "Répétition : ce serveur tourne à une heure simulée. Rien ici n’est réel.",
    closing_notice: "Les nouvelles diffusions prennent fin le",
    closed_notice: "Les nouvelles diffusions ont pris fin le",
    more: "Ce que cela veut dire",
    sunset: "Comment ce service prend fin",
    licences: "Licences",
    on_stage: "En scène",
    empty: "La scène est vide.",
    empty_more: "La servante est allumée. Dès que quelqu’un passe en direct, il apparaît ici.",
    publish: "Passer en direct",
    publish_server: "Serveur",
    publish_this_host: "ce-serveur",
    publish_key: "Clé de diffusion",
    publish_key_hint: "affichée une fois au premier démarrage, ou créée par",
    publish_obs: "Dans OBS : Paramètres, Stream (flux), Service « Personnalisé… ».",
    publish_keyframes: "Réglez l’intervalle d’images-clés à 2 s pour le plus court délai.",
    since: "depuis",
    without_script: "Sans JavaScript, votre navigateur lit lui-même le flux, quelques secondes \
                     plus tard.",
    for_broadcaster: "Pour le diffuseur",
    not_found: "Il n’y a rien sur cette scène.",
    not_found_more: "Aucune chaîne ne porte ce nom, ou l’adresse contient une faute.",
    gone: "C’est terminé.",
    gone_channel: "Chaîne",
    no_end: "Aucune fin n’est annoncée pour ce service.",
    no_end_more: "Si son opérateur en déclare une, elle sera écrite ici, à la seconde près, avant \
                  d’arriver.",
    now: "Maintenant",
    next: "Ensuite",
    schedule: "Ce qui ferme, et quand",
    what: "Quoi",
    utc: "UTC",
    operator_time: "Heure de l’opérateur",
    your_time: "Votre heure",
    still_works: "Ce qui marche encore",
    still_works_until: "jusqu’au",
    works: "marche",
    works_running: "seulement ce qui est en cours",
    works_not: "fermé",
    history: "Modifications de ce calendrier",
    history_declared: "Déclaré :",
    history_closed: "Fermé :",
    history_reopened: "Rouvert par l’opérateur :",
    machine: "La même chose pour les machines",
    passed: "passé",
    player: PlayerTexts {
        says: StateTexts {
            offline: "Hors ligne. La lecture démarre d’elle-même dès que la chaîne passe en direct.",
            starting: "Démarrage…",
            live: "En direct",
            away: "La connexion du diffuseur est coupée. L’image revient d’elle-même.",
            ended: "La diffusion est terminée.",
            closed: "Ce service n’accepte plus de nouvelles diffusions.",
        },
        badges: StateTexts {
            offline: "Hors ligne",
            starting: "Démarrage",
            live: "En direct",
            away: "Interrompu",
            ended: "Terminé",
            closed: "Fermé",
        },
        reconnecting: "Reconnexion…",
        unreachable: "Le serveur est injoignable. Nouvel essai…",
        unsupported: "Ce navigateur ne peut pas lire ce flux.",
        behind: "de retard",
        go_live: "Revenir au direct",
        play: "Lire",
        pause: "Pause",
        mute: "Couper le son",
        unmute: "Activer le son",
        volume: "Volume",
        seek: "Position",
        pip: "Image dans l’image",
        fullscreen: "Plein écran",
        exit_fullscreen: "Quitter le plein écran",
        help: "Clavier",
        close: "Fermer",
        key_space: "Lire, pause",
        key_arrows: "Reculer, avancer de 5 s",
        key_volume: "Volume",
        advice_keyframes: "Votre encodeur envoie une image-clé toutes les {seconds} s. Réglez \
                           l’intervalle d’images-clés à {wanted} s : la lecture démarre plus vite \
                           et avec moins de retard.",
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_s_language_is_honoured() {
        let table = [
            (None, Lang::En),
            (Some(""), Lang::En),
            (Some("fr"), Lang::Fr),
            (Some("fr-CA, en;q=0.8"), Lang::Fr),
            (Some("en-GB,fr;q=0.9"), Lang::En),
            (Some("de, fr;q=0.5, en;q=0.4"), Lang::Fr),
            (Some("de, *;q=0.1"), Lang::En),
            (Some("fr;q=0, en;q=0.1"), Lang::En),
            (Some("fr;q=0"), Lang::En),
            (Some("FR;Q=1"), Lang::Fr),
            (Some("fr;q=9"), Lang::En),
            (Some(";;;,,q=,fr;q=0.001"), Lang::Fr),
            (Some("française"), Lang::En),
        ];
        for (header, lang) in table {
            assert_eq!(Lang::choose(header), lang, "{header:?}");
        }
    }

    #[test]
    fn every_phase_turn_and_operation_has_words_in_both_languages() {
        for lang in [Lang::En, Lang::Fr] {
            let words = Phase::ALL
                .map(|phase| lang.phase(phase))
                .into_iter()
                .chain(Turn::ALL.map(|turn| lang.turn(turn)))
                .chain(Operation::ALL.map(|operation| lang.operation(operation)));
            assert!(words.into_iter().all(|text| !text.is_empty()), "{lang:?}");
        }
    }
}
