import { words } from "../words";

export const share = words(
  {
    title: "Shared footage",
    over: "This link is over, or there never was such a link.",
    until: "This link works until {when}.",
    unplayable: "This browser cannot play it here. Download it to play it elsewhere.",
  },
  {
    title: "Geteilte Aufnahme",
    over: "Dieser Link ist abgelaufen, oder es gab ihn nie.",
    until: "Dieser Link gilt bis {when}.",
    unplayable: "Dieser Browser kann das hier nicht abspielen. Heruntergeladen läuft es anderswo.",
  },
  {
    title: "Images partagées",
    over: "Ce lien a expiré ou n’a jamais existé.",
    until: "Ce lien est valable jusqu’au {when}.",
    unplayable: "Ce navigateur ne peut pas lire ces images ici. Téléchargez-les pour les lire ailleurs.",
  },
);
