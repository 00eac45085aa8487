import { words } from "../words";

export const storage = words({ title: "x" }, { title: "x" }, { title: "x" });
