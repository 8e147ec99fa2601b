// What an import of a file of Swagger UI with the type "file" gives: its path, which in the binary is one inside of it.
declare module "swagger-ui-dist/*" {
  const path: string;
  export default path;
}
