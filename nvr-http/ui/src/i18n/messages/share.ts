import { words } from "../words";

export const share = words(
  {
    title: "Shared footage",
    over: "This link is over, or there never was such a link.",
    until: "This link works until {when}.",
    encoded: "This browser cannot play it as it was recorded, so the recorder converts it: it may begin a moment later.",
    as_recorded: "As recorded",
    as_h264: "As H.264",
    unplayable: "This browser cannot play it here. Download it to play it elsewhere.",
  },
  {
    title: "Geteilte Aufnahme",
    over: "Dieser Link ist abgelaufen, oder es gab ihn nie.",
    until: "Dieser Link gilt bis {when}.",
    encoded: "Dieser Browser kann es nicht abspielen, wie es aufgenommen wurde; der Rekorder wandelt es um. Es kann einen Moment dauern.",
    as_recorded: "Wie aufgenommen",
    as_h264: "Als H.264",
    unplayable: "Dieser Browser kann das hier nicht abspielen. Heruntergeladen läuft es anderswo.",
  },
  {
    title: "Images partagées",
    over: "Ce lien a expiré ou n’a jamais existé.",
    until: "Ce lien est valable jusqu’au {when}.",
    encoded: "Ce navigateur ne sait pas lire l’enregistrement tel quel ; l’enregistreur le convertit, ce qui peut prendre un instant.",
    as_recorded: "Tel qu’enregistré",
    as_h264: "En H.264",
    unplayable: "Ce navigateur ne peut pas lire ces images ici. Téléchargez-les pour les lire ailleurs.",
  },
);
